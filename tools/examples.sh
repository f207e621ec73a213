#!/bin/sh
# Makes the clients in docs/examples ready to run: `tools/examples.sh node`, `tools/examples.sh go`.
# Does nothing where what is there is newer than what it is made from.
set -eu
cd "$(dirname "$0")/.."

for each in "$@"; do
    case $each in
    node)
        done=docs/examples/node/node_modules/.package-lock.json
        [ ! "$done" -ot docs/examples/node/package-lock.json ] && [ -e "$done" ] && continue
        # Nothing of the packages is run at install.
        (cd docs/examples/node && npm ci --ignore-scripts --loglevel=error >/dev/null)
        touch "$done"
        ;;
    go)
        made=build/examples/client-go
        [ -n "$(find docs/examples/go -newer "$made" -print -quit 2>/dev/null || echo none)" ] ||
            continue
        # Debian's packages of libraries are one tree for all programs: no module is fetched.
        GO111MODULE=off GOPATH=/usr/share/gocode GOTOOLCHAIN=local GOFLAGS=-buildvcs=false \
            go build -o "$made" ./docs/examples/go
        touch "$made"
        ;;
    *)
        echo "tools/examples.sh: there are node and go, not $each" >&2
        exit 2
        ;;
    esac
done
