#!/bin/sh
# Installs, or upgrades to, the version beside this script; run as root: sh install.sh
#
# Makes /opt/env-runner/VERSION from the wheels beside it (no network is used), puts users, units
# and a first configuration in place, then lets /opt/env-runner/current name the new version.
# Starts and restarts nothing: what runs goes on, and the last lines say what to do.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
opt=/opt/env-runner
python=${PYTHON:-/usr/bin/python3} # one that every user can read: tasks run no code of it

wheel=$(ls "$here"/wheels/env_runner-*.whl)
version=$(basename "$wheel" | cut -d- -f2)
new=$opt/$version
if [ -e "$new" ] && [ "$(readlink "$opt/current" || true)" = "$version" ]; then
    echo "env-runner $version is installed, and current" >&2
else
    rm -rf "$new" # of a try that was broken off
    mkdir -p "$opt"
    "$python" -m venv --without-pip "$new"
    pip=$(find /usr/share/python-wheels -name 'pip-*.whl' 2>/dev/null | sort | tail -1)
    [ -n "$pip" ] || pip=$("$python" -c 'import ensurepip, glob, os
print(glob.glob(os.path.dirname(ensurepip.__file__) + "/_bundled/pip-*.whl")[0])')
    install="$new/bin/python $pip/pip --quiet --disable-pip-version-check install --no-index"
    $install --require-hashes --find-links "$here/wheels" --requirement "$here/requirements.txt"
    $install --no-deps "$wheel"
fi

put() { # put FILE DESTINATION: a file that everybody may read
    install -D -m 0644 "$here/$1" "$2"
}
put env-runner.sysusers.conf /usr/lib/sysusers.d/env-runner.conf
put env-runner.tmpfiles.conf /usr/lib/tmpfiles.d/env-runner.conf
put env-runner.service /usr/lib/systemd/system/env-runner.service
put env-runner-keeper.service /usr/lib/systemd/system/env-runner-keeper.service
systemd-sysusers /usr/lib/sysusers.d/env-runner.conf
[ -e /etc/env-runner/config.toml ] || install -D -m 0640 "$here/config.toml" /etc/env-runner/config.toml
systemd-tmpfiles --create /usr/lib/tmpfiles.d/env-runner.conf

ln -sfn "$version" "$opt/current.new"
mv -T "$opt/current.new" "$opt/current" # at once: whoever starts gets the old version or the new
systemctl daemon-reload
cat >&2 <<END
env-runner $version is installed. To start, now and with each boot:
    systemctl enable --now env-runner-keeper env-runner
To upgrade what runs, with tasks running on:
    systemctl reload env-runner-keeper && systemctl restart env-runner
END
