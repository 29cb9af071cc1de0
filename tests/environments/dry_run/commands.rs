//! The commands that take `--dry-run`, by the program itself: each has its lines.

use clap::CommandFactory;
use netbe::commands::Cli;

use super::lines::DONE;
use super::on_this_machine;

#[test]
fn every_command_with_a_dry_run_is_run_with_it() {
    let program = Cli::command();
    let has_dry_run = |command: &&clap::Command| {
        let mut all = command.get_arguments();
        all.any(|argument| argument.get_long() == Some("dry-run"))
    };
    let names: Vec<&str> = program
        .get_subcommands()
        .filter(has_dry_run)
        .map(clap::Command::get_name)
        .collect();
    assert!(names.len() > 20, "{names:?}");
    let lines = DONE.iter().map(|(line, _)| *line);
    let lines: Vec<&str> = lines.chain(on_this_machine::LINES).collect();
    for name in names {
        assert!(
            lines
                .iter()
                .any(|line| line.split(' ').next() == Some(name)),
            "netbe {name} takes --dry-run, and no line of dry_run/lines.rs runs it"
        );
    }
}
