#!/bin/sh
# Written by netbe (property access=ro): the first program of the system.
#
# The root is read-only, and changes are kept in memory: this script mounts an overlay with an upper layer in memory as the
# root, gives the machine its own name and machine id if others boot the same root, and starts the system's own init. The
# root itself stays visible, read-only, at the path in the variable "beneath".
PATH=/usr/sbin:/usr/bin:/sbin:/bin
own=/usr/lib/netbe/read-only-root
beneath=/usr/lib/netbe/root
several=@SEVERAL@
keys=@SSH_KEYS@

# The kernel panics when its first program ends: with panic=SECONDS the machine restarts.
fail() {
    echo "netbe: the read-only root cannot be used: $1" >/dev/console
    sleep 5
    exit 1
}

is_mounted() { # DIRECTORY
    while read -r _ place _; do
        [ "$place" = "$1" ] && return 0
    done </proc/mounts
    return 1
}

# Without an initramfs nothing is mounted yet.
[ -e /proc/mounts ] || mount -n -t proc proc /proc || fail 'no /proc'
is_mounted /sys || mount -n -t sysfs sysfs /sys
is_mounted /dev || mount -n -t devtmpfs devtmpfs /dev
is_mounted /run || mount -n -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run || fail 'no /run'

source='' type='' init='' name='' mac=''
while read -r from place kind _; do
    [ "$place" = / ] && [ "$from" != rootfs ] && source=$from type=$kind
done </proc/mounts
read -r arguments </proc/cmdline
for word in $arguments; do
    case $word in
        "init=$own") ;;
        init=*) init=${word#init=} ;;
        systemd.hostname=*) name=${word#*=} ;;
        BOOTIF=*) mac=${word#BOOTIF=} && mac=${mac#??-} ;;
    esac
done

card() { # the MAC address of the network card that the root comes over
    for file in /run/net-*.conf; do
        device=$(sed -n "s/^DEVICE='\{0,1\}\([^']*\).*/\1/p" "$file" 2>/dev/null)
        [ "$device" ] && cat "/sys/class/net/$device/address" && return
    done
    for device in /sys/class/net/*; do
        [ -e "$device/device" ] && [ "$(cat "$device/carrier" 2>/dev/null)" = 1 ] && cat "$device/address" && return
    done
}

given_name() { # the name that the DHCP server gave: klibc's ipconfig and the kernel keep it
    for file in /run/net-*.conf; do
        sed -n "s/^HOSTNAME='\{0,1\}\([^']*\).*/\1/p" "$file" 2>/dev/null
    done
    cat /proc/sys/kernel/hostname
}

# The name has to be one label, and of more than numbers: the kernel's own is the address where no name was given.
is_a_name() { # WORD
    case $1 in '' | *[!a-z0-9-]* | -* | *- | localhost) return 1 ;; *[!0-9]*) return 0 ;; esac
    return 1
}

[ "$mac" ] || mac=$(card)
mac=$(echo "$mac" | tr 'A-F:' 'a-f-')
# The machine reports under that name.
mkdir -p /run/netbe && echo "$mac" >/run/netbe/machine

if [ "$several" = yes ]; then
    for word in $(given_name); do
        word=${word%%.*}
        [ -z "$name" ] && is_a_name "$word" && name=$word
    done
    read -r node </etc/hostname 2>/dev/null || node=machine
    [ "$name" ] || name=$(echo "$node" | cut -c 1-56)-$(echo "$mac" | tr -d - | tail -c 7)
fi

make_keys() { # SSH host keys in place of those that all machines have, of the same kinds
    rm -f etc/ssh/ssh_host_*
    for file in $shared; do
        kind=${file#etc/ssh/ssh_host_} && kind=${kind%_key}
        [ "$kind" = '*' ] && continue
        chroot . ssh-keygen -q -t "$kind" -N '' -C "root@$name" -f "/$file" </dev/null >/dev/console 2>&1
    done
}

keep_keys() { # DIRECTORY
    (umask 077 && rm -rf "$1.new" && mkdir "$1.new") && cp -p etc/ssh/ssh_host_* "$1.new" && mv "$1.new" "$1"
}

own_keys() { # those of the machine's first boot, from where it reports
    place=run/netbe/reports
    mkdir -p "$place"
    for version in vers=4.2 vers=3,nolock; do
        chroot . mount -t nfs -o "$version,soft,nosuid,nodev,noexec" "${source%/envs/*}/reports" "/$place" || continue
        kept=$place/ssh-$mac && break
    done
    if [ -e "$kept" ]; then
        rm -f etc/ssh/ssh_host_*
        cp -p "$kept"/ssh_host_* etc/ssh/ || make_keys
    else
        make_keys
        [ "$kept" ] && keep_keys "$kept" || echo 'netbe: SSH host keys are not kept: these are for this boot' >/dev/console
    fi
    [ "$kept" ] && chroot . umount "/$place"
}

# A root that is in memory already stays as it is.
cd /
if [ "$type" != overlay ]; then
    grep -qw overlay /proc/filesystems || modprobe overlay || fail 'the kernel has no overlay filesystem'
    mkdir -p /run/netbe/memory
    mount -n -t tmpfs -o mode=0755 netbe /run/netbe/memory || fail 'no memory for what is written'
    mkdir /run/netbe/memory/upper /run/netbe/memory/work
    mount -n -t overlay -o lowerdir=/,upperdir=/run/netbe/memory/upper,workdir=/run/netbe/memory/work \
        "$source" "$beneath" || fail 'the filesystem in memory cannot be put over it'
    for directory in dev sys run proc; do
        mount -n --move "/$directory" "$beneath/$directory" || fail "/$directory cannot be moved"
    done
    cd "$beneath" || fail 'it cannot be entered'
    pivot_root . "${beneath#/}" || fail 'it cannot be exchanged'
fi

if [ "$several" = yes ]; then
    read -r id <etc/machine-id 2>/dev/null || id=
    echo "$name" >etc/hostname
    # The same at each boot.
    echo "$id $mac" | md5sum | cut -c 1-32 >etc/machine-id
    sed -i "s/^127\.0\.1\.1[[:space:]].*/127.0.1.1 $name/" etc/hosts 2>/dev/null
    shared=$(echo etc/ssh/ssh_host_*_key) kept=''
    case $keys in
        boot) make_keys ;;
        machine) own_keys ;;
    esac
fi
[ "$init" ] || for init in /sbin/init /lib/systemd/systemd /etc/init /bin/init; do
    [ -x ".$init" ] || [ -L ".$init" ] && break
done
exec chroot . "$init" "$@" <dev/console >/dev/console 2>&1
