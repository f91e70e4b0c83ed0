#!/bin/bash
# build.sh DIR: a Debian guest that can be cut off: DIR/kernel, DIR/initrd, DIR/root.img; run by power_cut.py
set -euo pipefail
mkdir -p "$1"
dir=$(readlink -f "$1") tree=$(mktemp -d) parts=$(mktemp -d)
trap 'rm -rf "$tree" "$parts"' EXIT
chmod 755 "$tree"

# The system: Python and nothing else; its first process is ours.
mmdebstrap --quiet --variant=minbase --mode=root --format=directory --include=python3 "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$tree"
cat > "$tree/sbin/init" <<'INIT'
#!/bin/sh
mount -t proc none /proc; mount -t sysfs none /sys; mkdir -p /mnt/host /var/lib/hemsd; chmod 700 /var/lib/hemsd
mount -t 9p -o trans=virtio,version=9p2000.L host /mnt/host
PYTHONPATH=/mnt/host/lib:/mnt/host python3 /mnt/host/inside.py > /mnt/host/out.txt 2>&1; echo "rc=$?" >> /mnt/host/out.txt
sync; echo o > /proc/sysrq-trigger; sleep 60
INIT
chmod 755 "$tree/sbin/init"
truncate -s 1G "$dir/root.img"
mke2fs -q -F -t ext4 -d "$tree" "$dir/root.img"

# The kernel, and an initrd with the drivers of the machine that QEMU makes.
cd "$parts"
apt-get -qq update
apt-get -qq download "$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/{print $2; exit}')" busybox-static
for package in *.deb; do dpkg-deb -x "$package" .; done
cp boot/vmlinuz-* "$dir/kernel"
version=$(basename boot/vmlinuz-*) version=${version#vmlinuz-}
depmod -b . "$version"
mkdir -p initrd/{bin,lib,proc,sys,dev,root}
busybox=$(find . -path '*/bin/busybox' -type f | head -1)
cp "$busybox" initrd/bin/busybox
ln -s busybox initrd/bin/sh
{
    echo '#!/bin/sh'
    echo '/bin/busybox mount -t devtmpfs d /dev'
    for module in virtio_pci virtio_blk ext4 9p 9pnet_virtio; do
        modprobe -d . -S "$version" --show-depends "$module" | awk '$1 == "insmod" {print $2}'
    done | awk '!seen[$0]++' | while read -r file; do
        cp "$file" initrd/lib/
        echo "/bin/busybox insmod /lib/${file##*/}"
    done
    echo 'n=0; while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do /bin/busybox sleep 0.1; n=$((n+1)); done'
    echo '/bin/busybox mount -t ext4 /dev/vda /root; /bin/busybox mount --move /dev /root/dev; exec /bin/busybox switch_root /root /sbin/init'
} > initrd/init
chmod 755 initrd/init
(cd initrd && find . | cpio -o -H newc --quiet | gzip -1) > "$dir/initrd"
