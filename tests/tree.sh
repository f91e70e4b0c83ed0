#!/bin/sh
# Makes a pristine Debian tree: tests/tree.sh RELEASE DIRECTORY [PACKAGE...]   (root)
# ARCHITECTURE in the environment makes it one of a foreign architecture, which this machine must be able to run.
# It takes this machine's own apt settings, certificates and resolver along, so it works wherever apt works here.
set -eu
release=$1 tree=$2
shift 2
packages=$(echo ca-certificates "$@" | tr ' ' ,)
mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
[ -n "$mirror" ] || mirror=$(sed -En 's/^deb (\[.*\] )?([^ ]+) .*/\2/p' /etc/apt/sources.list | head -n 1)
set --
for file in /etc/apt/apt.conf.d/99*; do
    [ ! -f "$file" ] || set -- "$@" "--aptopt=$file"
done
rm -rf "$tree.part"
mkdir -p "$(dirname "$tree")"
mmdebstrap --quiet ${ARCHITECTURE:+--architectures="$ARCHITECTURE"} --variant=minbase --mode=root --format=directory --include="$packages" "$@" \
    "$release" "$tree.part" "deb $mirror $release main"
for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
    [ ! -f "$file" ] || cp -L --remove-destination "$file" "$tree.part$file"
done
mv "$tree.part" "$tree"
