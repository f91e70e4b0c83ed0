#!/bin/sh
# Installs what the tests use beside Python: Debian packages when run as root, third-party devices from npm wherever
# npm is. What is missing all the same, the tests that need it say. With `arm64` also what such a machine is emulated by.
set -eu
cd "$(dirname "$0")/.."

debian() {
    missing=
    wanted="mosquitto valgrind iproute2 nftables systemd-container mmdebstrap umockdev qemu-system-x86 qemu-utils kmod cpio"
    [ "$1" != arm64 ] || wanted="$wanted qemu-user-static qemu-system-arm arch-test"
    for package in $wanted; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    command -v node >/dev/null || missing="$missing nodejs"
    command -v npm >/dev/null || missing="$missing npm"
    [ -n "$missing" ] || return 0
    echo "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

foreign() { # programs of arm64 run here from now on, by qemu-user; no service may be there to see to it
    [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || return 0
    [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register
}

npm_packages() { # as pinned in tests/interop/npm; the copy of the lock file is there once all is installed
    cmp -s tests/interop/npm/package-lock.json .cache/npm/installed.json && return
    echo "installing npm packages"
    rm -rf .cache/npm
    mkdir -p .cache/npm
    cp tests/interop/npm/package.json tests/interop/npm/package-lock.json tests/interop/npm/.npmrc .cache/npm
    (cd .cache/npm && npm ci --loglevel=error --ignore-scripts --no-audit --no-fund >/dev/null) || return 0
    cp tests/interop/npm/package-lock.json .cache/npm/installed.json
}

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then debian "${1:-}"; fi
if [ "${1:-}" = arm64 ]; then foreign; fi
if command -v npm >/dev/null; then npm_packages; fi
