#!/bin/sh
# Installs the commands and paths named, each with the Debian package that has it ("npm",
# "setsid=util-linux"), where they are missing: as root with apt-get; else says what to do.
set -eu
PATH=$PATH:/usr/sbin:/sbin # not everybody's, and daemons are there
missing=""
for each in "$@"; do
    [ -e "${each%%=*}" ] || command -v "${each%%=*}" >/dev/null || missing="$missing ${each#*=}"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing here; on Debian or Ubuntu: sudo apt-get install$missing" >&2
    exit 1
fi
echo "installing$missing with apt-get …" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 - a list of words
apt-get install -qq -y --no-install-recommends $missing >/dev/null
