#!/bin/sh
# Makes .venv ready: `tools/setup.sh run` to run, `tools/setup.sh dev` to test and check too.
#
# Finds a Python from 3.11 on; as root on Debian or Ubuntu, installs what is missing. Does
# nothing where .venv already holds what the lock and pyproject.toml ask for.
set -eu
cd "$(dirname "$0")/.."
kind=$1
venv=.venv

say() { printf '%s\n' "$*" >&2; }

suits() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for python in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if command -v "$python" >/dev/null && suits "$python"; then
            command -v "$python"
            return
        fi
    done
    return 1
}

install_python() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "env-runner needs Python 3.11 or newer with its venv module."
        say "On Debian or Ubuntu: sudo apt-get install python3 python3-venv"
        exit 1
    fi
    say "installing Python with apt-get …"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends python3 python3-venv ca-certificates >/dev/null
    find_python >/dev/null ||  # an older release keeps a newer Python beside its own
        apt-get install -qq -y --no-install-recommends python3.11 python3.11-venv >/dev/null || {
            say "this release has no Python 3.11 or newer; install one and set PYTHON to its path"
            exit 1
        }
}

stamp() {
    sha256sum "requirements/$1.txt" pyproject.toml tools/setup.sh | sha256sum | cut -c1-16
}

# What was made for development serves for running too.
if [ -x "$venv/bin/python" ]; then
    [ -e "$venv/.dev-$(stamp dev)" ] && exit 0
    [ "$kind" = run ] && [ -e "$venv/.run-$(stamp run)" ] && exit 0
fi

if ! [ -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || { install_python; python=$(find_python); }
    say "making $venv with $("$python" --version) …"
    "$python" -m venv --clear "$venv"
fi
say "installing what requirements/$kind.txt locks …"
rm -f "$venv"/.run-* "$venv"/.dev-*
pip="$venv/bin/python -m pip --quiet --disable-pip-version-check --no-input"
$pip install --require-hashes --requirement "requirements/$kind.txt"
$pip install --no-deps --no-build-isolation --editable .
touch "$venv/.$kind-$(stamp "$kind")"
