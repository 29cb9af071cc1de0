# What scripts ask and do of disks, on the server or on a node: functions, which stand before a script.

tag() { blkid -p -s "$2" -o value "$1" 2>/dev/null || true; }
parts() { lsblk -nrpo NAME,TYPE "$1" | sed -n 's/ part$//p'; }
# Prints where it, or a part of it, is mounted: raw, where a blank is \x20.
mounted() { lsblk -nro MOUNTPOINT "$1" | grep . | head -n1 || true; }
# Prints what is on it and on its partitions, as boot files name it: what formatting would destroy.
holds() {
    for one in $(lsblk -nrpo NAME "$1"); do
        for key in UUID PART_ENTRY_UUID; do
            value=$(tag "$one" $key)
            [ -z "$value" ] || echo "holds=$(echo "$key" | sed s/PART_ENTRY_UUID/PARTUUID/)=$value"
        done
    done
}
# Writes a table with one partition, and prints its name once it is there.
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
