#!/bin/bash
# Makes a machine that boots out of a Debian tree: tests/guest/build.sh TREE DIRECTORY   (root)
# DIRECTORY gets kernel, initrd and disk.img; the tree gets the kernel's modules, and a service by which support/guest.py
# gives it commands. The tree has the packages that a Debian machine has (support/machine.py) and hemsd's dependencies.
set -euo pipefail
tree=$1 dir=$2
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
mkdir -p "$dir"

# The kernel and busybox are unpacked, not installed: the postinst of a kernel takes minutes in an emulated tree.
systemd-nspawn --quiet --directory="$tree" --register=no --keep-unit --as-pid2 --console=pipe sh -c '
    cd /var/tmp && apt-get -qq update
    apt-get -qq download "$(apt-cache depends linux-image-$(dpkg --print-architecture) | awk "/Depends: linux-image/{print \$2; exit}")" busybox-static
' </dev/null >/dev/null
for package in "$tree"/var/tmp/*.deb; do dpkg-deb -x "$package" "$parts"; rm "$package"; done
cp "$parts"/boot/vmlinuz-* "$dir/kernel"
version=$(basename "$parts"/boot/vmlinuz-*) version=${version#vmlinuz-}

[ -d "$parts/lib/modules" ] || ln -s usr/lib "$parts/lib"  # where Debian 13 has them

# Of its modules, those for hardware that no such machine has are left out.
modules=$parts/lib/modules/$version/kernel
rm -rf "$modules"/{sound,drivers/{gpu,media,infiniband,scsi,staging,iio,isdn,hwmon,mtd,md,target,nvme,video,thunderbolt,accel},fs/{xfs,btrfs,ocfs2,ceph,nfs,gfs2,f2fs,smb},drivers/net/{ethernet,wireless,wan,can,hamradio}}
cp -a "$parts/lib/modules/" "$tree/usr/lib/"
depmod -b "$tree" "$version"

# An initrd with what it takes to find the disk.
mkdir -p "$parts"/initrd/{bin,lib,proc,sys,dev,root}
cp "$parts/bin/busybox" "$parts/initrd/bin/" 2>/dev/null || cp "$parts/usr/bin/busybox" "$parts/initrd/bin/"
ln -s busybox "$parts/initrd/bin/sh"
{
    echo '#!/bin/sh'
    echo '/bin/busybox mount -t devtmpfs d /dev'
    for module in virtio_pci virtio_blk ext4; do
        modprobe -d "$tree" -S "$version" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" {print $2}'
    done | awk '!seen[$0]++' | while read -r file; do
        cp "$file" "$parts/initrd/lib/"
        echo "/bin/busybox insmod /lib/${file##*/}"
    done
    echo 'n=0; while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do /bin/busybox sleep 0.1; n=$((n+1)); done'
    echo '/bin/busybox mount -t ext4 /dev/vda /root; /bin/busybox mount --move /dev /root/dev; exec /bin/busybox switch_root /root /sbin/init'
} > "$parts/initrd/init"
chmod 755 "$parts/initrd/init"
(cd "$parts/initrd" && find . | cpio -o -H newc --quiet | gzip -1) > "$dir/initrd"

# What support/guest.py asks: each command is a file on the host's share, and so are its answer and its status.
cat > "$tree/usr/local/sbin/answer" <<'ANSWER'
#!/bin/sh
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 host /mnt/host && cd /mnt/host && touch up || exit 1
n=1
while :; do
    if [ -e ask-$n ]; then
        (cd /; timeout 240 sh /mnt/host/ask-$n) >said-$n 2>&1 </dev/null
        echo $? >code-$n.part && mv code-$n.part code-$n
        n=$((n + 1))
    else
        sleep 0.1
    fi
done
ANSWER
chmod 755 "$tree/usr/local/sbin/answer"
cat > "$tree/etc/systemd/system/answer.service" <<'UNIT'
[Unit]
After=basic.target
[Service]
ExecStart=/usr/local/sbin/answer
UNIT
mkdir -p "$tree/mnt/host" "$tree/etc/systemd/system/multi-user.target.wants"
ln -sf ../answer.service "$tree/etc/systemd/system/multi-user.target.wants/"
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service dpkg-db-backup.timer; do
    ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done
echo guest > "$tree/etc/hostname"
echo '/dev/vda / ext4 defaults,noatime 0 1' > "$tree/etc/fstab"
truncate -s 2G "$dir/disk.img.part"
mke2fs -q -F -t ext4 -d "$tree" "$dir/disk.img.part"
mv "$dir/disk.img.part" "$dir/disk.img"
