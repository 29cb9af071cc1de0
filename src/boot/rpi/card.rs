//! How a Raspberry Pi boots an environment from a directory of a card.
//!
//! `config.txt` of the card is the switch: by `os_prefix`, kernel, initramfs, command line, device trees and overlays come
//! from the directory. Promises that each model loads the same files from there as from the boot half. Pure; not for the
//! order in which the files are written.

use std::io;

use anyhow::Result;

use super::config::LINE_LIMIT;
use super::{CONFIG, Loads, Model, configs, families, loads_by};
use crate::boot::card_files::{CardFiles, ON_CARD};
use crate::boot::files::{BootFiles, is_there, text};
use crate::failure::Failure;

/// The firmware ignores the prefix for overlays if this file is missing beside them.
const README: &str = "README";

/// Returns whether a file is firmware, which a Raspberry Pi reads only from the top of a card.
pub(in crate::boot) fn is_firmware(path: &str) -> bool {
    let is = |start: &str, end: &str| path.starts_with(start) && path.ends_with(end);
    !path.contains('/') && (is("start", ".elf") || is("fixup", ".dat") || path == "bootcode.bin")
}

/// Returns the directory that a card's `config.txt` boots from, without the final slash.
pub(in crate::boot) fn directory_of(config: &str) -> Option<&str> {
    let prefix = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("os_prefix="))?;
    let name = prefix.strip_prefix(ON_CARD)?.split('/').next()?;
    Some(&prefix[..ON_CARD.len() + name.len()])
}

/// Returns the files that make a boot half boot from `dir` (`netbe/NAME`) of a card.
///
/// # Errors
/// A refusal if the firmware would load other files from the card.
pub(in crate::boot) fn card_files(boot: &dyn BootFiles, dir: &str) -> Result<CardFiles> {
    let dir = format!("{dir}/");
    let content = text(boot, CONFIG)?.unwrap_or_default();
    if let Some(line) = content.lines().find(|l| l.trim().starts_with("include ")) {
        return refused(format!(
            "config.txt has {:?}, and on a card one file alone can switch: the lines of that file have to stand in config.txt",
            line.trim()
        ));
    }
    let files = CardFiles {
        switch: edited(&content, &dir, &initramfs_lines(boot)?),
        readmes: readmes(boot)?,
    };
    if let Some(line) = files
        .switch
        .lines()
        .find(|l| l.chars().count() > LINE_LIMIT)
    {
        return refused(format!(
            "the firmware reads {LINE_LIMIT} characters of a line, and this one of config.txt is longer: {line}"
        ));
    }
    let card = OnCard {
        boot,
        dir: &dir,
        files: &files,
    };
    for (config, on_card) in configs(boot)?.iter().zip(configs(&card)?) {
        for model in families(boot, config)?.0 {
            let (its, there) = (
                loads_by(boot, config, model)?,
                loads_by(&card, &on_card, model)?,
            );
            refuse_other(&its, &there, &dir)?;
        }
    }
    Ok(files)
}

fn refused<T>(why: String) -> Result<T> {
    Err(Failure::refused(why).into())
}

/// Returns the text with the prefix before all others, and explicit initramfs files: firmware of many dates doubles the
/// prefix before those of `auto_initramfs`.
fn edited(content: &str, dir: &str, initramfs: &str) -> String {
    let mut edited = format!("os_prefix={dir}\n");
    for line in content.lines() {
        let setting = line
            .split_once('=')
            .map(|(name, value)| (name.trim(), value));
        match setting {
            Some(("os_prefix", value)) => {
                let value = value.trim().trim_start_matches('/');
                edited.push_str(&format!("os_prefix={dir}{value}"));
            }
            Some(("auto_initramfs", _)) => edited.push_str("auto_initramfs=0"),
            _ => edited.push_str(line),
        }
        edited.push('\n');
    }
    edited + initramfs
}

/// Returns the lines that name the initramfs files of `auto_initramfs`.
fn initramfs_lines(boot: &dyn BootFiles) -> io::Result<String> {
    let config = super::config(boot, None)?;
    let mut found: Vec<(&[&str], String)> = Vec::new();
    for model in families(boot, &config)?.0 {
        let is_named = ["initramfs", "ramfsfile"].iter();
        let is_named = is_named
            .clone()
            .any(|name| config.value(model, name).is_some());
        let loads = loads_by(boot, &config, model)?;
        if let Some(file) = loads.initramfs.first().filter(|_| !is_named) {
            let name = file.strip_prefix(&loads.prefix).unwrap_or(file);
            found.push((filters(model), name.to_string()));
        }
    }
    let line = |file: &str| format!("initramfs {file} followkernel\n");
    match found.first() {
        None => Ok(String::new()),
        Some((_, first)) if found.iter().all(|(_, file)| file == first) => {
            Ok(format!("[all]\n{}", line(first)))
        }
        Some(_) => {
            let sections = found.iter().flat_map(|(filters, file)| {
                filters
                    .iter()
                    .map(move |filter| format!("[all]\n[{filter}]\n{}", line(file)))
            });
            Ok(sections.collect::<String>() + "[all]\n")
        }
    }
}

/// Returns the filters in `config.txt` for the models of a family.
fn filters(family: Model) -> &'static [&'static str] {
    match family {
        Model::Pi1 => &["pi1", "pi0"],
        Model::Pi2 => &["pi2"],
        Model::Pi4 => &["pi4"],
        Model::Pi5 => &["pi5"],
        _ => &["pi3", "pi02"],
    }
}

fn readmes(boot: &dyn BootFiles) -> io::Result<Vec<String>> {
    let config = super::config(boot, None)?;
    let mut found = Vec::new();
    for model in families(boot, &config)?.0 {
        let overlays = config.value(model, "overlay_prefix").unwrap_or("overlays/");
        let prefix = loads_by(boot, &config, model)?.prefix;
        let path = format!("{prefix}{overlays}{README}");
        if !is_there(boot, &path) && !found.contains(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Refuses if a model would not load the same files from the card as from the boot half.
fn refuse_other(its: &Loads, there: &Loads, dir: &str) -> Result<()> {
    let model = its.model;
    if let Some(missing) = there.missing.first() {
        return refused(format!("from a card a {model} would not boot: {missing}"));
    }
    let pairs = [(&its.kernel, &there.kernel), (&its.cmdline, &there.cmdline)];
    let pairs = pairs
        .into_iter()
        .chain(its.initramfs.iter().zip(&there.initramfs));
    for (file, there) in pairs {
        if *there != format!("{dir}{file}") {
            return refused(format!(
                "from a card a {model} would load {there} and not {file} of the environment: config.txt names it by a path from the top"
            ));
        }
    }
    match its.initramfs.len() == there.initramfs.len() {
        true => Ok(()),
        false => refused(format!(
            "from a card a {model} would load another initramfs"
        )),
    }
}

/// A card, as it will be once the files are written.
struct OnCard<'a> {
    boot: &'a dyn BootFiles,
    dir: &'a str,
    files: &'a CardFiles,
}

impl OnCard<'_> {
    fn path_in_boot<'p>(&self, path: &'p str) -> Option<&'p str> {
        let path = path.trim_start_matches('/');
        match path.strip_prefix(self.dir) {
            None if is_firmware(path) => Some(path),
            inside => inside,
        }
    }
}

impl BootFiles for OnCard<'_> {
    fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        let dir = dir.trim_matches('/');
        if dir.is_empty() {
            let firmware = self.boot.names("")?.into_iter().filter(|n| is_firmware(n));
            return Ok(firmware.chain([CONFIG.to_string()]).collect());
        }
        match format!("{dir}/").strip_prefix(self.dir) {
            Some(below) => self.boot.names(below.trim_end_matches('/')),
            None => Ok(Vec::new()),
        }
    }

    fn head(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        if path == CONFIG {
            let bytes = self.files.switch.as_bytes();
            return Ok(Some(bytes[..bytes.len().min(limit)].to_vec()));
        }
        self.path_in_boot(path)
            .map_or(Ok(None), |path| self.boot.head(path, limit))
    }

    fn length(&self, path: &str) -> io::Result<Option<u64>> {
        if path == CONFIG {
            return Ok(Some(self.files.switch.len() as u64));
        }
        self.path_in_boot(path)
            .map_or(Ok(None), |path| self.boot.length(path))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn half(config: &str, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let mut half: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let pi_4 = [
            "start4.elf",
            "fixup4.dat",
            "bcm2711-rpi-4-b.dtb",
            "kernel8.img",
            "initramfs8",
        ];
        for name in pi_4.iter().chain(more) {
            half.insert((*name).to_string(), b"content\n".to_vec());
        }
        half.insert("config.txt".into(), config.into());
        half.insert("cmdline.txt".into(), b"root=/dev/nfs\n".to_vec());
        half
    }

    fn config(half: &BTreeMap<String, Vec<u8>>) -> String {
        card_files(half, "netbe/a-1").unwrap().switch
    }

    #[test]
    fn the_prefix_stands_first_and_the_initramfs_is_named() {
        let text = config(&half(
            "dtparam=audio=on\nauto_initramfs=1\n[cm4]\notg_mode=1\n",
            &[],
        ));
        assert_eq!(
            text,
            "os_prefix=netbe/a-1/\ndtparam=audio=on\nauto_initramfs=0\n[cm4]\notg_mode=1\n\
             [all]\ninitramfs initramfs8 followkernel\n"
        );
        assert_eq!(directory_of(&text), Some("netbe/a-1"));
        assert_eq!(directory_of("os_prefix=current/\n"), None);
    }

    #[test]
    fn models_of_different_kernels_get_a_section_each() {
        let more = ["bcm2712-rpi-5-b.dtb", "kernel_2712.img", "initramfs_2712"];
        let text = config(&half("auto_initramfs=1\n", &more));
        assert!(
            text.contains("[all]\n[pi4]\ninitramfs initramfs8 followkernel\n"),
            "{text}"
        );
        assert!(
            text.contains("[all]\n[pi5]\ninitramfs initramfs_2712 followkernel\n"),
            "{text}"
        );
    }

    #[test]
    fn a_prefix_of_the_environment_stands_below_the_directory() {
        let mut half = half(
            "[all]\nos_prefix=current/\ninitramfs initramfs8 followkernel\n",
            &[],
        );
        for name in [
            "kernel8.img",
            "initramfs8",
            "bcm2711-rpi-4-b.dtb",
            "cmdline.txt",
        ] {
            let content = half.remove(name).unwrap();
            half.insert(format!("current/{name}"), content);
        }
        let files = card_files(&half, "netbe/a-1").unwrap();
        assert!(
            files.switch.contains("\nos_prefix=netbe/a-1/current/\n"),
            "{}",
            files.switch
        );
        assert_eq!(files.readmes, ["current/overlays/README"]);
    }

    #[test]
    fn configurations_of_several_files_are_refused() {
        for (config, why) in [
            ("include more.txt\n", "one file alone can switch"),
            ("kernel=/kernel8.img\n", "kernel"),
            ("cmdline=/cmdline.txt\n", "cmdline.txt"),
        ] {
            let refused = card_files(&half(config, &[]), "netbe/a-1")
                .unwrap_err()
                .to_string();
            assert!(refused.contains(why), "{config}: {refused}");
        }
        let long = format!("netbe/{}", "a".repeat(99));
        assert!(card_files(&half("", &[]), &long).is_err());
    }
}
