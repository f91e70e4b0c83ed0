#!/bin/sh
# Makes a Debian tree that holds Home Assistant: tests/interop/homeassistant/tree.sh DIRECTORY   (root)
# Its Python is newer than that of a stable Debian. Everything is as pinned by Home Assistant's own constraints.
set -eu
tree=$1 version=2026.11.0
cd "$(dirname "$0")/../../.."
[ "$(cat "$tree/opt/ha/version" 2>/dev/null || true)" != "$version" ] || exit 0
echo "making a tree with Home Assistant $version"
tests/tree.sh forky "$tree" python3-venv
inside() {
    chroot "$tree" env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
        PIP_CERT=/etc/ssl/certs/ca-certificates.crt ${PIP_INDEX_URL:+UV_DEFAULT_INDEX="$PIP_INDEX_URL"} "$@"
}
inside python3 -m venv /opt/ha
inside /opt/ha/bin/pip install --quiet --disable-pip-version-check uv
inside /opt/ha/bin/uv pip install --quiet --python /opt/ha/bin/python --no-deps "homeassistant==$version"
# what the integrations http, mqtt and recorder need beside its core; PyRIC has no wheel
inside /opt/ha/bin/uv pip install --quiet --python /opt/ha/bin/python --only-binary :all: --no-binary pyric \
    --constraint /opt/ha/lib/python3.14/site-packages/homeassistant/package_constraints.txt \
    "homeassistant==$version" aiohasupervisor paho-mqtt
echo "$version" >"$tree/opt/ha/version"
