//! Programs of netbe that precede the environment's own programs of the same name in `PATH`.
//!
//! Some of the real programs start services, which would run on the server. Others read what belongs to the server: its
//! disks, its devices, its kernel's version. The masks answer as on a machine that boots over the network, or do nothing, as
//! such programs do in any container; in all other cases they run the environment's own program. None replaces the real
//! file, which a package may replace.

/// A mask.
pub(super) struct Mask {
    /// Its name.
    pub(super) name: &'static str,
    /// Whether the mask exists only if the environment has such a program when the run begins.
    pub(super) stands_before: bool,
    /// Its script, after the beginning that all have.
    script: &'static str,
}

/// The beginning of each: `own` runs the environment's own program.
const BEGINNING: &str = r#"#!/bin/sh
own() {
	for d in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
		[ -x "$d/$name" ] && exec "$d/$name" "$@"
	done
	exit 127
}
"#;

/// Pretends success: the status of package scripts may depend on it.
const DONE: &str = "exit 0\n";

/// There is no disk to install a boot loader on.
const NO_LOADER: &str = r#"echo "netbe: $name is left out: a machine that boots over the network has no disk for a boot loader" >&2
exit 0
"#;

/// Loading modules would affect the server; queries about the environment's modules are run.
const MODPROBE: &str = r#"for a; do
	case $a in
	--dry-run|--show*|--resolve-alias|--dump-modversions|--version|--help) asks=y ;;
	--set-version*|-S*) told=y ;;
	--*) ;;
	-*[nDRcVh]*) asks=y ;;
	esac
done
[ "$asks" ] || exit 0
[ "$told" ] && own "$@"
own -S "$(/run/netbe/bin/uname -r)" "$@"
"#;

/// Without a version, modinfo would look for the server's modules.
const MODINFO: &str = r#"for a; do
	case $a in
	-k*|--set-version*|-V|--version|-h|--help) own "$@" ;;
	esac
done
own -k "$(/run/netbe/bin/uname -r)" "$@"
"#;

/// Without a version, depmod would be for the server's kernel: it is run for each kernel of the environment.
const DEPMOD: &str = r#"for a; do
	case $a in
	[0-9]*|/*|-b*|--basedir*|-V|--version|-h|--help) own "$@" ;;
	esac
done
for d in /lib/modules/[0-9]*; do
	[ -d "$d/kernel" ] || continue
	(own "$@" "${d##*/}") || exit
done
exit 0
"#;

/// The kernel's settings would be the server's.
const SYSCTL: &str = r#"for a; do
	case $a in
	-w|--write|-p*|--load*|--system|*=*) exit 0 ;;
	esac
done
own "$@"
"#;

/// No udev runs here, and the server's must not be notified.
const UDEVADM: &str = r#"for a; do
	case $a in
	control|settle|trigger) exit 0 ;;
	info|hwdb|monitor|test*|verify|wait|lock) break ;;
	esac
done
own "$@"
"#;

/// Prints the release of the environment's newest kernel in place of the server's, which has no modules here.
const UNAME: &str = r#"case "$*" in
*r*|*a*|*v*) ;;
*) own "$@" ;;
esac
server=$(own -r)
[ -d "/lib/modules/$server" ] && own "$@"
newest=
for v in $(ls /lib/modules 2>/dev/null | sort -V 2>/dev/null); do
	[ -d "/lib/modules/$v/kernel" ] && newest=$v
done
[ "$newest" ] || own "$@"
said=$(own "$@") || exit
case $said in
*"$server"*) said=${said%%"$server"*}$newest${said#*"$server"} ;;
esac
printf '%s\n' "$said"
"#;

/// The kernel's table names the pool's device for `/`, which is not here: on the node both halves are NFS. Queries of other
/// tables are passed on.
const FINDMNT: &str = r#"for a; do
	case $a in
	--fstab|--mtab|--poll*|--tab-file*|--task*|--verify|--help|--version) own "$@" ;;
	--*) ;;
	-[smpFNxhV]*|-n[smp]*) own "$@" ;;
	esac
done
sed 's|^\([0-9]* [0-9]*\) [^ ]* [^ ]* \([^ ]*\) \(.*\) - btrfs .*|\1 0:999 / \2 \3 - nfs server:\2 rw|' \
	/proc/self/mountinfo >/run/netbe/mountinfo || own "$@"
own -F /run/netbe/mountinfo "$@"
"#;

/// As `findmnt`: it lists mounts from the table `/proc/mounts`.
const MOUNT: &str = r#"case "$*" in
""|-l|-v) sed 's/^\([^ ]*\) \([^ ]*\) \([^ ]*\) \([^ ]*\) .*/\1 on \2 type \3 (\4)/' /proc/mounts && exit ;;
esac
own "$@"
"#;

/// df reads the table of its own process.
const DF: &str = r#"said=$(own "$@")
end=$?
for d in $(sed -n 's/.* - [^ ]* \(\/[^ ]*\) .*/\1/p' /proc/self/mountinfo | sort -u); do
	said=$(printf '%s\n' "$said" | sed "s|^\(.* \)*$d\( .*\)*\$|\1server:/\2|; s/\(^\| \)btrfs\(\$\| \)/\1nfs\2/")
done
[ -z "$said" ] || printf '%s\n' "$said"
exit $end
"#;

const fn always(name: &'static str) -> Mask {
    Mask {
        name,
        stands_before: false,
        script: DONE,
    }
}

const fn loader(name: &'static str) -> Mask {
    Mask {
        name,
        stands_before: false,
        script: NO_LOADER,
    }
}

const fn before(name: &'static str, script: &'static str) -> Mask {
    Mask {
        name,
        stands_before: true,
        script,
    }
}

/// All masks.
pub(super) const MASKS: &[Mask] = &[
    // Programs that start services without a check: of SysV init scripts, OpenRC and Upstart.
    always("initctl"),
    always("rc-service"),
    always("service"),
    always("start-stop-daemon"),
    before("depmod", DEPMOD),
    before("df", DF),
    before("findmnt", FINDMNT),
    loader("grub-install"),
    loader("grub-mkconfig"),
    loader("grub-probe"),
    loader("grub2-install"),
    loader("grub2-mkconfig"),
    loader("grub2-probe"),
    before("insmod", DONE),
    before("linux-boot-prober", DONE),
    before("modinfo", MODINFO),
    before("modprobe", MODPROBE),
    before("mount", MOUNT),
    before("os-prober", DONE),
    before("rmmod", DONE),
    before("sysctl", SYSCTL),
    before("udevadm", UDEVADM),
    before("uname", UNAME),
    loader("update-grub"),
    loader("update-grub2"),
];

/// The directories of an environment's programs.
pub(super) const PLACES: &[&str] = &[
    "usr/local/sbin",
    "usr/local/bin",
    "usr/sbin",
    "usr/bin",
    "sbin",
    "bin",
];

impl Mask {
    /// Returns the text of the mask.
    pub(super) fn text(&self) -> String {
        let (head, rest) = BEGINNING.split_once('\n').unwrap_or((BEGINNING, ""));
        format!("{head}\nname={}\n{rest}{}", self.name, self.script)
    }
}

#[cfg(test)]
mod tests;
