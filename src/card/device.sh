# What netbe does with a card that is a block device of this server.
#
#     device.sh DEVICE look
#     device.sh DEVICE format
#
# DEVICE is a disk or a partition. Firmware reads the first FAT partition of a card, and of a Raspberry Pi only an MBR's.
set -eu
device=$1 verb=$2

tag() { blkid -p -s "$2" -o value "$1" 2>/dev/null || true; }
parts() { lsblk -nrpo NAME,TYPE "$1" | sed -n 's/ part$//p'; }
first_fat() {
    for one in $(parts "$1") "$1"; do
        if [ "$(tag "$one" TYPE)" = vfat ]; then echo "$one"; return; fi
    done
}

[ -b "$device" ] || { echo "$device is no disk" >&2; exit 3; }
case $verb in
    look)
        fat=$(first_fat "$device")
        echo "partition=$fat"
        # Not in a pipe: if it fails, nobody knows what would be lost.
        held=$(wipefs --noheadings --output TYPE "$device")
        echo "held=$(echo "$held" | sort -u | xargs)"
        mounted=$(lsblk -nro MOUNTPOINT "${fat:-$device}" | grep . | head -n1) || true
        echo "mounted=$mounted"
        echo "protected=$(lsblk -dnro RO "${fat:-$device}")"
        echo "size=$(lsblk -bdnro SIZE "$device")"
        # What formatting would destroy, as records of roots on disks name it.
        for one in $(lsblk -nrpo NAME "$device"); do
            for key in UUID PART_ENTRY_UUID; do
                value=$(tag "$one" $key)
                [ -z "$value" ] || echo "holds=$(echo $key | sed s/PART_ENTRY_UUID/PARTUUID/)=$value"
            done
        done
        [ -z "$fat" ] || echo "uuid=$(tag "$fat" UUID)"
        ;;
    format)
        for one in $(parts "$device") "$device"; do wipefs -q -a "$one"; done
        if [ "$(lsblk -dnro TYPE "$device")" != part ]; then
            printf 'label: dos\ntype=c, bootable\n' | sfdisk -q --wipe always "$device"
            tries=0
            until [ -n "$(parts "$device")" ] && [ -b "$(parts "$device")" ]; do
                tries=$((tries + 1))
                [ $tries -lt 100 ] || { echo "the partition of $device does not appear" >&2; exit 1; }
                partx -u "$device" 2>/dev/null || true
                sleep 0.1
            done
            device=$(parts "$device")
        fi
        mkfs.vfat -F 32 -n NETBE "$device" >/dev/null
        ;;
esac
