# Examines or formats a card that is a block device of this server.
#
#     device.sh DEVICE look
#     device.sh DEVICE format
#
# DEVICE is a disk or a partition. netbe puts the functions of partitions.sh before this script. Firmware reads the first FAT
# partition of a card; that of a Raspberry Pi needs an MBR.
set -eu
device=$1 verb=$2

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
        # Not in a pipe, which would hide a failure: then the data that would be lost is unknown.
        held=$(wipefs --noheadings --output TYPE "$device")
        echo "held=$(echo "$held" | sort -u | xargs)"
        echo "mounted=$(mounted "${fat:-$device}")"
        echo "protected=$(lsblk -dnro RO "${fat:-$device}")"
        echo "size=$(lsblk -bdnro SIZE "$device")"
        holds "$device"
        [ -z "$fat" ] || echo "uuid=$(tag "$fat" UUID)"
        ;;
    format)
        for one in $(parts "$device") "$device"; do wipefs -q -a "$one"; done
        if [ "$(lsblk -dnro TYPE "$device")" != part ]; then
            device=$(partition "$device" 'label: dos
type=c, bootable')
        fi
        mkfs.vfat -F 32 -n NETBE "$device" >/dev/null
        ;;
esac
