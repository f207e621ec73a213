#!/bin/sh
# Resolves what pyproject.toml asks for into requirements/, each file by its hash.
#
#   run.txt   what the daemon and the command need, containers, GPUs and Python environments
#             included, and what builds the package
#   dev.txt   that, and what tests, checks and generates
#
# One lock serves every Python from 3.11 on, on Linux. No index is named in it: pip is asked
# wherever it is configured to look.
set -eu
cd "$(dirname "$0")/.."
options="$*"
python=.venv/bin/python
$python -m uv --version >/dev/null 2>&1 || $python -m pip install --quiet uv
lock() {
    $python -m uv pip compile pyproject.toml --extra containers --extra gpu --extra python --group "$1" --output-file "requirements/$2.txt" \
        --universal --python-version 3.11 --no-python-downloads --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet $options
    {
        echo "# $3"
        echo "# Made from pyproject.toml by \`make lock\`; do not edit."
        cat "requirements/$2.txt"
    } > "requirements/$2.new"
    mv "requirements/$2.new" "requirements/$2.txt"
}
lock build run "What env-runner needs to run, pinned and hashed."
lock dev dev "What env-runner needs to run, to be tested and to be checked, pinned and hashed."
