#!/bin/sh
# `make test-vm`: installs the bundle of this tree in a throw-away Debian and tries the units there.
set -eu
cd "$(dirname "$0")/.."
bundle=build/bundle
sh tools/bundle.sh "$bundle"
sh tools/vm.sh '
    sh bundle/install.sh && python=$(readlink -f /opt/env-runner/current)/bin/python &&
    cd vm &&
    systemd-run --quiet --pipe --wait -p Delegate=yes "$python" -u "$PWD/guest_cgroups.py" &&
    "$python" -u guest.py &&
    "$python" -u guest_containers.py' "$bundle" tests/vm
