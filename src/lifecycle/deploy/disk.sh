# What netbe does on the disk of a node: on the server, or on the node by ssh, in a mount namespace of its own.
#
#     disk.sh PLACE look WAIT disk|machine
#     disk.sh PLACE format WAIT NAME HELD btrfs|ext4    refuses where it does not hold what it held when it was looked at
#     disk.sh PLACE unpack WAIT UUID         a tar archive on stdin, into an ext4 that was just made
#     disk.sh PLACE receive WAIT NAME UUID   a btrfs send stream on stdin
#     disk.sh PLACE changes WAIT NAME
#     disk.sh PLACE keep WAIT NAME OTHER     has what it is under another name
#     disk.sh PLACE remove WAIT NAME
#     disk.sh PLACE settle WAIT              waits until the room of what was removed is free
#
# The functions of partitions.sh stand before this. Ends with 3 where it refuses, and with 5 where another deploy has the disk for WAIT seconds. PLACE is a disk, a partition, or the directory where the node's btrfs is mounted. UUID is its filesystem's: where it is not
# there any more, another deploy has formatted the disk. Subvolumes stand in netbe/, and what they were when they came in
# netbe/.sent/: the parent of the next one that is sent.
set -eu
# What the tools say is read.
export LC_ALL=C
place=$1 verb=$2 wait=$3 name=${4:-} expected=${5:-} filesystem=${6:-}

device_of() {
    if [ -b "$1" ]; then echo "$1"; else findmnt -n -o SOURCE --mountpoint "$1" 2>/dev/null | sed 's/\[.*//'; fi
}
# The partition of a disk that netbe has partitioned.
sole_partition() {
    parts=$(parts "$1")
    if [ -n "$parts" ] && [ "$(echo "$parts" | wc -l)" = 1 ]; then echo "$parts"; else echo "$1"; fi
}
# Prints what a line of fstab can name, of one disk or of all: device files only if they are those of this machine.
beside() {
    for one in $(lsblk -nrpo NAME "$@"); do
        # An encrypted device exists only after it is opened with its key.
        ! lsblk -nrso TYPE "$one" | grep -q crypt || continue
        [ $# -gt 0 ] || echo "beside=$one"
        # A value with a backslash is escaped, and would be misread.
        blkid -p -o export "$one" 2>/dev/null | grep -v '[\\]' |
            sed -n 's/^PART_ENTRY_UUID=/PARTUUID=/; s/^PART_ENTRY_NAME=/PARTLABEL=/
                s/^\(UUID\|LABEL\|PARTUUID\|PARTLABEL\)=/beside=&/p' || true
    done
}
# Prints the modules that drive a disk and its buses, up to the processor.
drivers() {
    at=$(readlink -f "/sys/class/block/${1##*/}/device") || return 0
    while [ "${at#/sys/devices/}" != "$at" ]; do
        # The name of the driver itself, if the kernel names no module because the driver is built in.
        if module=$(readlink "$at/driver/module" || readlink "$at/driver"); then
            echo "${module##*/}" | sed 's/^sd$/sd_mod/; s/^mmcblk$/mmc_block/; y/-/_/; s/^/driver=/'
        fi
        at=${at%/*}
    done
}
# Prints the signatures on a disk: of a disk with one partition, of its table as well, since formatting destroys that too.
held() {
    for one in "$whole" "$(sole_partition "$whole")"; do wipefs --noheadings --output TYPE "$one" || exit; done
}
still_there() {
    if [ "$(tag "$device" UUID)" != "$1" ]; then echo "another deploy has formatted $device" >&2; exit 3; fi
}
at_top() {
    top=$(mktemp -d)
    trap 'cd / && umount "$top" 2>/dev/null; rmdir "$top" 2>/dev/null || :' EXIT
    mount -t "$1" -o "nosuid,nodev,noexec$2" "$device" "$top"
}
open() {
    at_top btrfs ",subvolid=5$1"
    for directory in netbe netbe/.sent; do
        if [ -L "$top/$directory" ]; then echo "$directory on $device is a link" >&2; exit 3; fi
    done
}
# The node can write the disk: if it puts a link in place of a subvolume, the tools of btrfs would follow the link.
delete() {
    if [ -L "$1" ]; then rm -f "$1"; elif [ -e "$1" ]; then btrfs -q subvolume delete "$1"; fi
}
is_subvolume() { [ ! -L "$1" ] && [ -d "$1" ]; }
is_complete() { is_subvolume "$1" && [ "$(btrfs property get -ts "$1" ro 2>/dev/null)" = ro=true ]; }
# Whether a name can be one of deploy's: another one could be read as a second line, or as an option.
is_name() { case $1 in -* | *[!A-Za-z0-9._+-]*) return 1 ;; esac; }

# Prints the process that has the lock: netbe, or a process that a killed netbe left.
holder() {
    for one in /proc/[0-9]*; do
        [ "$(readlink "$one/fd/9")" = "$(readlink -f "$disk")" ] || continue
        grep -q '^lock:.*FLOCK' "$one/fdinfo/9" || continue
        parent=$(sed -n 's/^PPid:[[:space:]]*//p' "$one/status")
        if [ "$(cat "/proc/$parent/comm")" = netbe ]; then
            echo "pid $parent, $(tr '\0' ' ' <"/proc/$parent/cmdline")"
        else
            echo "pid ${one#/proc/}, $(cat "$one/comm")"
        fi
        return
    done 2>/dev/null
}

device=$(device_of "$place")
[ -b "$device" ] || { echo "$place is neither a disk nor where one is mounted" >&2; exit 3; }
# One at a time: if netbe was killed, a process of it may still be writing. The lock is on the disk, as udev's.
disk=$(lsblk -dnrpo PKNAME "$device")
disk=${disk:-$device}
exec 9<"$disk"
flock -w "$wait" 9 || { holder >&2; exit 5; }
whole=$device
[ "$verb" = format ] || device=$(sole_partition "$device")
case $verb in
    look)
        echo "device=$device"
        echo "size=$(lsblk -bdnro SIZE "$device")"
        type=$(tag "$device" TYPE)
        echo "filesystem=$type"
        # Not in a pipe: if it fails, the content that formatting would destroy is not known.
        held=$(held)
        echo "held=$(echo "$held" | sort -u | xargs)"
        echo "mounted=$(mounted "$device")"
        holds "$whole"
        [ "$name" != machine ] || drivers "$disk"
        case $type in btrfs | ext4) ;; *) exit 0 ;; esac
        part=$(tag "$device" PART_ENTRY_UUID)
        echo "root=${part:+PARTUUID=$part}"
        echo "uuid=$(tag "$device" UUID)"
        if [ "$name" = machine ]; then beside; else beside "$disk"; fi
        if [ "$type" = ext4 ]; then
            # Not mounted: a node has written it.
            dumpe2fs -h "$device" 2>/dev/null | sed -n 's/^\(Free blocks\|Reserved block count\|Block size\): */\1=/p' |
                { free=0 reserved=0 size=0
                  while IFS='=' read -r key value; do
                      case $key in Free*) free=$value ;; Reserved*) reserved=$value ;; *) size=$value ;; esac
                  done
                  echo "free=$(((free - reserved) * size))"; }
            exit 0
        fi
        open ,ro
        echo "free=$(df -B1 --output=avail "$top" | tail -n1 | tr -d ' ')"
        # The oldest first: subvolumes are counted.
        for one in "$top"/netbe/*; do
            if is_name "${one##*/}" && is_subvolume "$one"; then
                echo "$(btrfs inspect-internal rootid "$one" || echo 0) ${one##*/}"
            fi
        done | sort -n | sed 's/^[0-9]* /has=/'
        for one in "$top"/netbe/.sent/*; do
            if is_name "${one##*/}" && is_complete "$one" && is_subvolume "$top/netbe/${one##*/}"; then
                echo "sent=${one##*/}"
            fi
        done
        ;;
    format)
        held=$(held)
        held=$(echo "$held" | sort -u | xargs)
        if [ "$held" != "$expected" ]; then
            echo "$device holds something else than when it was looked at: another deploy has written it" >&2
            exit 3
        fi
        wipefs -q -a "$device"
        if [ "$(lsblk -dnro TYPE "$device")" != part ]; then
            device=$(partition "$device" "label: gpt
name=\"$name\"")
        fi
        case $filesystem in
            ext4) mkfs.ext4 -q -F -L "$(printf %.16s "$name")" "$device" ;;
            *) mkfs.btrfs -q -f -L "$name" "$device" ;;
        esac
        ;;
    unpack)
        still_there "$name"
        at_top ext4 ''
        # Only an ext4 that is empty: in another one, links would be followed.
        if [ -n "$(find "$top" -mindepth 1 -maxdepth 1 ! -name lost+found)" ]; then echo "$device is not empty" >&2; exit 3; fi
        tar -C "$top" -xp --numeric-owner --xattrs '--xattrs-include=*' --acls -f -
        sync -f "$top"
        ;;
    receive)
        still_there "$expected"
        open ''
        mkdir -p "$top/netbe/.sent"
        cd "$top/netbe"
        # What a removal or a transfer left that was interrupted: no root is beside it, and nothing is sent as a difference to it.
        for one in .sent/*; do
            if is_name "${one##*/}" && ! is_subvolume "${one##*/}"; then delete "$one"; fi
        done
        # An existing one is the rest of an interrupted transfer, not the root that is sent now.
        delete ".sent/$name"
        # Confined (-C): the node can have put links into the subvolume that a difference is applied to, and they would be followed.
        btrfs -q receive -C .sent || { delete ".sent/$name"; exit 1; }
        is_complete ".sent/$name"
        delete ".new-$name"
        btrfs -q subvolume snapshot ".sent/$name" ".new-$name"
        delete "$name"
        mv -T ".new-$name" "$name"
        sync -f .
        ;;
    changes)
        open ''
        cd "$top/netbe"
        if ! is_subvolume "$name" || ! is_complete ".sent/$name"; then
            echo "netbe/$name is not as it was sent" >&2
            exit 1
        fi
        delete .now
        btrfs -q subvolume snapshot -r "$name" .now
        btrfs -q send --no-data -p ".sent/$name" .now | btrfs receive --dump
        delete .now
        ;;
    keep)
        open ''
        cd "$top/netbe"
        is_subvolume "$name" || { echo "netbe/$name is no subvolume" >&2; exit 1; }
        delete ".sent/$expected"
        if is_subvolume ".sent/$name"; then mv -T ".sent/$name" ".sent/$expected"; fi
        mv -nT "$name" "$expected"
        sync -f .
        ;;
    settle)
        open ''
        btrfs subvolume sync "$top" >/dev/null
        ;;
    remove)
        open ''
        cd "$top/netbe"
        # Last: as long as the root is there, a removal that was interrupted can be made again.
        delete ".sent/$name"
        delete "$name"
        sync -f .
        ;;
esac
