//! Man pages of commands, and completions, are made from `commands/`, committed, and compared here; so is the version in recipes of
//! packages.
//!
//! `NETBE_REGENERATE=1 cargo test --test generated` writes them anew.

// clippy.toml allows this in tests, and knows them by an attribute that what they call has not.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "generated/manual.rs"]
mod manual;

use clap::{Command, CommandFactory};
use netbe::commands::Cli;
use netbe::commands::completions;
use netbe::commands::completions::ShellName;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a file with what it should be, or writes it.
fn hold(path: &Path, want: &str) {
    if std::env::var_os("NETBE_REGENERATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, want).unwrap();
        return;
    }
    let have = fs::read_to_string(path).unwrap_or_default();
    assert!(
        have == want,
        "{} is not what it is made from; NETBE_REGENERATE=1 cargo test --test generated writes it",
        path.display()
    );
}

/// Returns the commands that are for people: the others are called by what netbe installs.
fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

#[test]
fn man_pages() {
    let mut cli = Cli::command();
    // Only a built command has the options that hold for all.
    cli.build();
    hold(&root().join("man/netbe.8"), &manual::page(&cli, "netbe"));
    let mut wanted = vec!["netbe.8".to_string()];
    for sub in shown(&cli) {
        let file = format!("netbe-{}.8", sub.get_name());
        hold(
            &root().join("man").join(&file),
            &manual::page(sub, &format!("netbe {}", sub.get_name())),
        );
        wanted.push(file);
    }
    for entry in fs::read_dir(root().join("man")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Those of section 7 are written by hand; tests/documented runs what they say.
        assert!(
            wanted.contains(&name) || name.ends_with(".7"),
            "man/{name} is the page of no command"
        );
    }
}

#[test]
fn man_pages_fit_a_terminal() {
    for entry in fs::read_dir(root().join("man")).unwrap() {
        let path = entry.unwrap().path();
        let formatted = std::process::Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-P-bcou", "-rLL=78n"])
            .arg(&path)
            .output()
            .expect("man-db needs groff-base");
        let path = path.display();
        assert_eq!(String::from_utf8_lossy(&formatted.stderr), "", "{path}");
        for line in String::from_utf8_lossy(&formatted.stdout).lines() {
            assert!(line.chars().count() <= 80, "{path}: {line}");
        }
    }
}

#[test]
fn completion_scripts() {
    for (shell, file) in [
        (ShellName::Bash, "netbe.bash"),
        (ShellName::Zsh, "_netbe"),
        (ShellName::Fish, "netbe.fish"),
        (ShellName::Elvish, "netbe.elv"),
        (ShellName::PowerShell, "_netbe.ps1"),
    ] {
        let script = completions::script(shell).unwrap();
        hold(&root().join("completions").join(file), &script);
    }
}

#[test]
fn every_command_teaches() {
    Cli::command().debug_assert();
    for sub in shown(&Cli::command()) {
        let name = sub.get_name();
        assert!(sub.get_about().is_some(), "{name} says nothing of itself");
        let after = sub
            .get_after_long_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(after.contains("Examples:\n  "), "{name} shows no example");
        let mut short = sub.clone().bin_name(format!("netbe {name}")).term_width(80);
        for line in short.render_help().to_string().lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

#[test]
fn pages_that_are_written_by_hand_have_this_version() {
    let version = concat!("\"netbe ", env!("CARGO_PKG_VERSION"), "\"");
    for entry in fs::read_dir(root().join("man")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|section| section == "7") {
            let text = fs::read_to_string(&path).unwrap();
            let title = text.lines().find(|line| line.starts_with(".TH ")).unwrap();
            assert!(title.contains(version), "{}: {title}", path.display());
        }
    }
}

/// Those of Debian are given it by `scripts/package`.
#[test]
fn the_recipes_of_packages_have_this_version() {
    for (file, key) in [
        ("dist/rpm/netbe.spec", "Version:        "),
        ("dist/arch/PKGBUILD", "pkgver="),
    ] {
        let path = root().join(file);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<String> = text
            .lines()
            .map(|line| match line.strip_prefix(key) {
                Some(_) => format!("{key}{}", env!("CARGO_PKG_VERSION")),
                None => line.to_string(),
            })
            .collect();
        assert!(lines.iter().any(|line| line.starts_with(key)), "{file}");
        hold(&path, &(lines.join("\n") + "\n"));
    }
}
