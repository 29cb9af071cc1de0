//! Adding netbe's menu to the machine's own loader, and removing it: a script for GRUB's configuration, and hooks of packages.
//!
//! Each file has a mark of netbe's; a file of the same name without the mark is never overwritten or removed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::installed_loader::InstalledLoader;
use super::package_hooks::{self, Hook, MARK};
use super::probe::is_there;
use crate::boot::grub::{self, SCRIPT};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::atomic::{self, Durable};
use crate::fs::path_error::if_exists;
use crate::fs::systemd;
use crate::lifecycle::init::backing::Undo;
use crate::pool::local;
use crate::pool::record::Local;
use crate::publish::local as this;

/// The hooks that kernel packages run: those of Debian, and of kernel-install(8).
const HOOKS: [&str; 3] = [
    "/etc/kernel/postinst.d/zz-netbe",
    "/etc/kernel/postrm.d/zz-netbe",
    "/etc/kernel/install.d/99-netbe.install",
];

fn file(path: &str, text: String) -> Hook {
    Hook {
        path: path.into(),
        text,
        mode: 0o755,
    }
}

/// Returns the files.
fn files(local: &Local) -> Result<Vec<Hook>> {
    let mut files = hooks()?;
    if local.esp.is_none() {
        files.push(file(SCRIPT, grub::script(this::for_grub(local))));
    }
    Ok(files)
}

/// Returns the files that packages run.
fn hooks() -> Result<Vec<Hook>> {
    let mut hooks = package_hooks::hooks(Path::new("/"));
    if is_there("/etc/kernel")? {
        hooks.extend(HOOKS.map(|path| file(path, hook())));
    }
    Ok(hooks)
}

/// Returns the step that writes the hooks.
pub(super) fn sentence() -> Result<Option<String>> {
    let paths: Vec<String> = hooks()?
        .iter()
        .map(|hook| hook.path.display().to_string())
        .collect();
    let sentence = format!(
        "have packages tell netbe of new kernels, and of changes where packages.before=on: {}",
        paths.join(", ")
    );
    Ok(Some(sentence).filter(|_| !paths.is_empty()))
}

/// Returns the script for kernel packages.
fn hook() -> String {
    format!(
        "#!/bin/sh\n{MARK}\n# The loader boots the newest kernel of the running environment.\n\
         [ -e {0}/pool.json ] && command -v netbe >/dev/null || exit 0\n\
         netbe --pool {0} publish --quiet || true\n",
        local::DIR
    )
}

/// Refuses if one of the files exists and is not netbe's.
pub(super) fn refuse_others() -> Result<()> {
    for path in all() {
        if is_others(&path)? {
            let path = path.display();
            return Err(
                Failure::refused(format!("{path} is there, and was not written by netbe"))
                    .hint(format!("cat {path}"))
                    .into(),
            );
        }
    }
    Ok(())
}

/// Returns the places of all files, whatever loader there is.
fn all() -> impl Iterator<Item = PathBuf> {
    let of_loaders = std::iter::once(SCRIPT).chain(HOOKS).map(PathBuf::from);
    let of_managers = package_hooks::hooks(Path::new("/")).into_iter();
    of_loaders.chain(of_managers.map(|hook| hook.path))
}

fn is_others(path: &Path) -> Result<bool> {
    let reading = || format!("reading {}", path.display());
    let text = if_exists(fs::read(path)).with_context(reading)?;
    Ok(text.is_some_and(|text| !String::from_utf8_lossy(&text).contains(MARK)))
}

/// Writes the files.
pub(super) fn write(local: &Local) -> Result<()> {
    for Hook { path, text, mode } in files(local)? {
        let writing = || format!("writing {}", path.display());
        if let Some(dir) = path.parent() {
            atomic::directories(dir).with_context(writing)?;
        }
        atomic::file(&path, text.as_bytes(), Durable::AtOnce).with_context(writing)?;
        fs::set_permissions(&path, Permissions::from_mode(mode)).with_context(writing)?;
    }
    Ok(())
}

/// Returns the files that exist.
pub(super) fn there() -> Vec<PathBuf> {
    all().filter(|path| path.exists()).collect()
}

/// Removes the files.
pub(super) fn remove() -> Result<()> {
    for path in there() {
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

/// Has a failure remove the files that do not exist now.
pub(super) fn remove_later(undo: &mut Undo) {
    let now = there();
    undo.by(move || {
        let made = there().into_iter().filter(|path| !now.contains(path));
        made.for_each(|path| drop(fs::remove_file(path)));
    });
}

/// Has the distribution's own program generate GRUB's configuration again, beside the old one, which is then replaced in one
/// step: that program writes in place, and a power cut would leave a part of it. systemd-boot reads its entries as they are.
pub(super) fn configure(loader: &InstalledLoader) -> Result<()> {
    let InstalledLoader::Grub(grub) = loader else {
        return Ok(());
    };
    let name = |end: &str| {
        let mut name = grub.configuration.clone().into_os_string();
        name.push(end);
        PathBuf::from(name)
    };
    let new = name(".netbe");
    let written = systemd::run(Command::new(grub.program).arg("-o").arg(&new))
        .and_then(|()| replace(&grub.configuration, &new));
    if written.is_err() {
        // The temporary names of the program and of netbe.
        for left in [&new, &name(".netbe.new")] {
            let _ = fs::remove_file(left);
        }
    }
    written.with_context(|| format!("writing {}", grub.configuration.display()))?;
    // GRUB reads only committed transactions.
    for place in ["/", "/boot"] {
        subvolume::sync(Path::new(place)).context("making GRUB's configuration durable")?;
    }
    Ok(())
}

fn replace(configuration: &Path, new: &Path) -> Result<()> {
    let open = File::open(new)?;
    if open.metadata()?.len() == 0 {
        anyhow::bail!("{} is empty", new.display());
    }
    open.set_permissions(configuration.metadata()?.permissions())?;
    open.sync_all()?;
    Ok(fs::rename(new, configuration)?)
}

/// Returns whether GRUB's configuration has netbe's menu; always true for systemd-boot, which reads its entries as they are.
pub(super) fn is_configured(loader: &InstalledLoader) -> Result<bool> {
    let InstalledLoader::Grub(grub) = loader else {
        return Ok(true);
    };
    let reading = || format!("reading {}", grub.configuration.display());
    let text = fs::read(&grub.configuration).with_context(reading)?;
    let entry = format!("--id {} ", grub::ACTIVE_ENTRY);
    Ok(String::from_utf8_lossy(&text).contains(&entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_names_netbe_as_its_author() {
        let local = Local {
            filesystem: "1".to_string(),
            path: "netbe".to_string(),
            node: "nog".to_string(),
            block: None,
            esp: None,
        };
        for Hook { path, text, .. } in files(&local).unwrap() {
            assert!(text.lines().take(2).any(|line| line == MARK), "{path:?}");
        }
        assert!(hook().contains(MARK));
    }
}
