# Functions to inspect and partition disks, on the server or on a node; they precede a script.

tag() { blkid -p -s "$2" -o value "$1" 2>/dev/null || true; }
parts() { lsblk -nrpo NAME,TYPE "$1" | sed -n 's/ part$//p'; }
# Prints where a disk, or a partition of it, is mounted: raw, with \x20 for a blank.
mounted() { lsblk -nro MOUNTPOINT "$1" | grep . | head -n1 || true; }
# Prints the filesystems on a disk and its partitions, which formatting would destroy, as boot files name them.
holds() {
    for one in $(lsblk -nrpo NAME "$1"); do
        for key in UUID PART_ENTRY_UUID; do
            value=$(tag "$one" $key)
            [ -z "$value" ] || echo "holds=$(echo "$key" | sed s/PART_ENTRY_UUID/PARTUUID/)=$value"
        done
    done
}
# Writes a table with one partition, and prints its name once the device exists.
partition() {
    echo "$2" | sfdisk -q --wipe always "$1" || exit
    tries=0
    until part=$(parts "$1") && [ -b "$part" ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { echo "the partition of $1 does not appear" >&2; exit 1; }
        partx -u "$1" 2>/dev/null || true
        sleep 0.1
    done
    echo "$part"
}
