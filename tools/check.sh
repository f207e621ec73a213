#!/bin/sh
# All checks, each to its end, so that one run tells everything; fails where any failed.
set -u
cd "$(dirname "$0")/.."
bin=.venv/bin
failed=""

check() {
    name=$1
    shift
    if said=$("$@" 2>&1); then
        printf 'ok      %s\n' "$name"
    else
        printf 'FAILED  %s\n%s\n' "$name" "$said"
        failed="$failed, $name"
    fi
}

check "lint" $bin/ruff check --quiet
check "format" $bin/ruff format --check --quiet
check "types" $bin/mypy
check "layers" $bin/lint-imports
check "contract" sh tools/contract.sh
check "stubs" $bin/python tools/protos.py --check
check "generated documents" $bin/python tools/docs.py --check
check "manual" $bin/python tools/man.py --check
check "tree" $bin/python tools/tidy.py
[ -z "$failed" ] || {
    printf '\nfailed: %s\n' "${failed#, }"
    exit 1
}
