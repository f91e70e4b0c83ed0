#!/bin/bash
# What a new user does, on pristine Debian 12 and 13 with git, make and python3-venv only: tests/rehearse.sh [demo|test]...   (root)
# Rehearses what is committed; without arguments `make demo` only. Says pass or fail for each, and fails if one does.
set -u
cd "$(dirname "$0")/.."
targets=${*:-demo}
trees=$PWD/.cache/rehearsal
registry=$(npm config get registry 2>/dev/null || true)
verdict=0

run() { # run TREE SECONDS COMMAND: within the tree, with this machine's network and package indexes
    timeout --kill-after=10 "$2" systemd-nspawn --quiet --directory="$1" --register=no --keep-unit --as-pid2 \
        --console=pipe --capability=CAP_NET_ADMIN \
        --bind-ro="$PWD/.git:/mnt/hemsd.git" --setenv=SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
        --setenv=PIP_CERT=/etc/ssl/certs/ca-certificates.crt ${PIP_INDEX_URL:+--setenv=PIP_INDEX_URL="$PIP_INDEX_URL"} \
        --setenv=NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt ${registry:+--setenv=NPM_CONFIG_REGISTRY="$registry"} \
        sh -c "$3" </dev/null 2>&1
}

rehearse() { # rehearse RELEASE TARGET
    local tree=$trees/$1-$2 log=$trees/$1-$2.log start=$SECONDS
    rm -rf "$tree"
    cp -a "$trees/$1" "$tree"
    run "$tree" 60 'git -c safe.directory="*" clone --quiet /mnt/hemsd.git /srv/hemsd' >"$log" || return 1
    case $2 in
        # a demonstration has no end: it passes when readings were printed by the time it is stopped
        demo) run "$tree" 300 'cd /srv/hemsd && make .venv/bin/.demo && timeout --signal=INT 30 make demo' >>"$log"
              grep -Eq 'power_w -?[0-9]+' "$log" ;;
        test) run "$tree" 3600 'cd /srv/hemsd && make test' >>"$log" ;;
    esac
    local result=$?
    echo "$1: make $2 took $((SECONDS - start)) s"
    [ $result = 0 ] || tail -n 30 "$log"
    rm -rf "$tree"
    return $result
}

for release in bookworm trixie; do
    [ -d "$trees/$release" ] || tests/tree.sh $release "$trees/$release" git make python3-venv || exit 1
    for target in $targets; do
        if rehearse $release "$target"; then echo "PASS $release: make $target"; else echo "FAIL $release: make $target"; verdict=1; fi
    done
done
exit $verdict
