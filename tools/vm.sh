#!/bin/sh
# A throw-away Debian with systemd as PID 1 and pure cgroup v2, in qemu without KVM: no network, and
# nothing of it is left but a cache (build/vm) of its packages.
#
#   sh tools/vm.sh COMMAND DIRECTORY...
#
# Boots it with copies of the directories in /vm, runs COMMAND there as root once systemd is up,
# shows what it says and ends with its exit code; 124 where it took longer than VM_LIMIT seconds.
# VM_SUITE names another release of Debian, from whatever sources apt has here.
set -eu
cd "$(dirname "$0")/.."
command=$1
shift
suite=${VM_SUITE:-bookworm}
limit=${VM_LIMIT:-1500}
packages=systemd,systemd-sysv,dbus,python3,python3-venv,procps,bubblewrap,docker.io,apparmor
cache=build/vm
root=$cache/$suite-$(printf %s "$packages" | cksum | cut -d' ' -f1).tar

if [ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ]; then
    echo "cannot here: the guest is made from Debian packages for amd64" >&2
    exit 1
fi
sh tools/packages.sh qemu-system-x86_64=qemu-system-x86 mmdebstrap busybox=busybox-static cpio
mkdir -p "$cache"

if ! [ -e "$root" ]; then
    echo "making a $suite with systemd from packages …" >&2
    # apt's own sources and proxies: those reach a mirror from here
    sources=$(find /etc/apt/sources.list /etc/apt/sources.list.d \
        -name '*.sources' -o -name '*.list' 2>/dev/null || true)
    apt-config dump | grep -E '^Acquire::(http|https)::' >"$cache/apt.conf" || true
    # of the kernel, only its image: qemu's own devices need no module
    # shellcheck disable=SC2086,SC2016 - a list of files; expanded by mmdebstrap's shell
    mmdebstrap --quiet --variant=minbase --include="$packages" --aptopt="$PWD/$cache/apt.conf" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --customize-hook='
            cd "$1" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
            apt-get -q -q download "$(apt-cache depends linux-image-cloud-amd64 |
                sed -n "s/.*Depends: \(linux-image-[0-9].*\)/\1/p")" &&
            dpkg-deb --fsys-tarfile linux-image-*.deb | tar -x ./boot && rm linux-image-*.deb' \
        "$suite" "$root.new.tar" $sources >"$cache/packages.log" 2>&1 || {
        cat "$cache/packages.log" >&2
        exit 1
    }
    mv "$root.new.tar" "$root"
fi

guest=$(mktemp -d)
trap 'rm -rf "$guest"' EXIT
tree=$guest/root
mkdir -p "$tree"
tar -C "$tree" --exclude='./dev/*' --exclude='./var/lib/apt/lists/*' --exclude='./var/cache/*' -xf "$root"
mv "$tree"/boot/vmlinuz-* "$guest/kernel"
rm -f "$tree"/boot/* "$tree"/initrd.img*
mkdir -p "$tree/vm"
for directory in "$@"; do
    cp -R "$directory" "$tree/vm/"
done
printf '%s\n' "$command" >"$tree/vm/command"
cp "$(command -v busybox)" "$tree/bin/busybox"

# systemd is not to run from the initial file system: what changes the root refuses it.
cat >"$tree/init" <<'END'
#!/bin/busybox sh
/bin/busybox mkdir -p /n && /bin/busybox mount -t tmpfs -o size=80%,mode=755 tmpfs /n
for each in /*; do
    case $each in /n | /proc | /sys | /dev | /run) ;; *) /bin/busybox cp -a "$each" /n/ ;; esac
done
/bin/busybox mkdir -p /n/proc /n/sys /n/dev /n/run
exec /bin/busybox switch_root /n /lib/systemd/systemd
END
chmod 755 "$tree/init"
units=$tree/etc/systemd/system
mkdir -p "$units/multi-user.target.wants"
cat >"$units/vm-command.service" <<'END'
[Unit]
After=multi-user.target dbus.service
Wants=dbus.service
[Service]
Type=oneshot
StandardOutput=file:/dev/ttyS0
StandardError=inherit
ExecStart=/bin/sh -c 'echo; echo @@begin; cd /vm; sh /vm/command; echo "@@end $?"; sync; systemctl poweroff --force --force'
END
ln -s ../vm-command.service "$units/multi-user.target.wants/vm-command.service"
for unit in getty@tty1 serial-getty@ttyS0 systemd-timesyncd systemd-logind apt-daily apt-daily-upgrade \
    docker containerd; do # those two are started by who needs them, in another way
    ln -sf /dev/null "$units/$unit.service"
done
for unit in docker.socket dev-ttyS0.device apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer; do
    ln -sf /dev/null "$units/$unit"
done
rm -f "$tree/etc/machine-id" && : >"$tree/etc/machine-id"
(cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0) >"$guest/initrd" 2>/dev/null
rm -rf "$tree"

echo "booting it …" >&2
# no_timer_check: where this host is busy, the kernel's test of its timer fails, and it panics
timeout "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m "${VM_MEMORY:-3500}" \
    -display none -monitor none -serial stdio -no-reboot -net none \
    -kernel "$guest/kernel" -initrd "$guest/initrd" \
    -append "console=ttyS0 panic=-1 no_timer_check quiet systemd.show_status=0" </dev/null 2>&1 |
    sed -u 's/\r//g' | tee "$cache/console" | sed -n -u '/^@@begin/,/^@@end/{/^@@/d;p}'
status=$(sed -n 's/^@@end //p' "$cache/console")
if [ -z "$status" ]; then
    tail -5 "$cache/console" >&2
    exit 124
fi
exit "$status"
