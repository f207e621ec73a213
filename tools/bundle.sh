#!/bin/sh
# Makes a directory from which env-runner is installed with no network: sh tools/bundle.sh DIR
#
# In it: the wheels of this tree (the runner, and by itself the client that an orchestrator
# installs), the locked wheels that they need, the units, install.sh. They are for Linux on this
# machine's architecture and for PYTHON_VERSION (default: 3.11, Debian 12's).
set -eu
cd "$(dirname "$0")/.."
bundle=$1
version=${PYTHON_VERSION:-3.11}
machine=$(uname -m)
pip=".venv/bin/python -m pip --quiet --disable-pip-version-check --no-input"
sh tools/setup.sh run
mkdir -p "$bundle/wheels"
rm -f "$bundle"/wheels/env_runner-*.whl "$bundle"/wheels/env_runner_supervisor-*.whl

# A build leaves its own directories in the tree, and takes up what is left in them.
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp -R runner supervisor docs pyproject.toml README.md LICENSE packages "$tree"
for each in "$tree" "$tree/packages/supervisor"; do
    $pip wheel --no-deps --no-build-isolation --wheel-dir "$bundle/wheels" "$each"
done

if ! cmp -s requirements/run.txt "$bundle/requirements.txt"; then
    platforms=""
    for each in manylinux_2_34 manylinux_2_28 manylinux_2_24 manylinux_2_17 manylinux2014; do
        platforms="$platforms --platform ${each}_$machine"
    done
    # shellcheck disable=SC2086 - a list of words
    $pip download --require-hashes --only-binary :all: --python-version "$version" $platforms \
        --requirement requirements/run.txt --dest "$bundle/wheels"
    cp requirements/run.txt "$bundle/requirements.txt"
fi
cp systemd/install.sh systemd/*.service systemd/*.conf systemd/*.example systemd/config.toml "$bundle"
