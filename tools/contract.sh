#!/bin/sh
# Lints the contract and checks it against what clients were already given
# (protos/baseline.binpb). Installs buf, by the lock, where it is not there.
#
# After a release the baseline moves: tools/contract.sh --accept
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
buf="$root/tools/buf/node_modules/.bin/buf"
if [ ! -x "$buf" ]; then
    command -v npm >/dev/null || {
        echo "tools/contract.sh: npm is needed to install buf (apt install npm)" >&2
        exit 1
    }
    # By the lock, which names the Linux builds alone (so `install`, as `ci` wants every
    # platform). Nothing of the packages is run at install: the binary lies in them.
    (cd "$root/tools/buf" && npm install --no-save --ignore-scripts --loglevel=error >/dev/null)
fi
cd "$root/protos"
"$buf" lint
if [ "${1:-}" = "--accept" ]; then
    "$buf" build --as-file-descriptor-set -o baseline.binpb
else
    "$buf" breaking --against baseline.binpb
fi
