//! The program: parse, run one command, print one error, end with its status.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use netbe::commands::Cli;
use netbe::failure::{Failure, is_closed_pipe};
use netbe::terminal;

fn main() -> ExitCode {
    netbe::images::become_mounter_if_asked();
    netbe::sandbox::become_first_stage_if_asked();
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    let cli = Cli::try_parse().unwrap_or_else(|e| match e.kind() {
        // clap's own message also lists the hidden commands.
        ErrorKind::MissingSubcommand => Cli::command()
            .error(ErrorKind::MissingSubcommand, "no command is given")
            .exit(),
        _ => e.exit(),
    });
    // A TFTP server without root privileges needs access to created directories, independent of root's umask.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    netbe::fs::interrupt::install();
    match netbe::commands::run(cli) {
        Ok(status) => ExitCode::from(status),
        // A closed pipe is not an error.
        Err(e) if is_closed_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            let failure = e.downcast_ref::<Failure>();
            terminal::say("error", &format!("{e:#}"));
            if let Some(hint) = failure.and_then(|f| f.hint.as_ref()) {
                terminal::say("hint", hint);
            }
            ExitCode::from(failure.map_or(1, Failure::status))
        }
    }
}
