"""The two units as they are shipped: systemd takes them, the daemon's is closed, the keeper's is
open only where tasks need it. How they run is tried in a guest: `make test-vm`."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runner.config import load

SHIPPED = Path(__file__).resolve().parents[2] / "systemd"
DAEMON, KEEPER = "env-runner.service", "env-runner-keeper.service"
HOME = "/opt/env-runner/current/bin"


def directives(unit: str) -> dict[str, str]:
    """The last value of each; continued lines are one."""
    text = (SHIPPED / unit).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and line[0] not in "#["]
    return {key: " ".join(value.split()) for key, _, value in (s.partition("=") for s in lines)}


def systemd(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not there; its package is systemd")
    return subprocess.run(
        ["systemd-analyze", *words], check=False, capture_output=True, text=True, timeout=60
    )


def test_systemd_finds_no_fault_in_the_units(nothing_is_left: Path) -> None:
    programs = nothing_is_left / "bin"
    programs.mkdir()
    for name in ("env-runner", "python"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    units = []
    for name in (DAEMON, KEEPER):
        units.append(nothing_is_left / name)
        units[-1].write_text((SHIPPED / name).read_text().replace(HOME, str(programs)))
    done = systemd("verify", "--man=no", *map(str, units))
    shutil.rmtree(programs)
    for unit in units:
        unit.unlink()
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_daemon_is_exposed_by_no_more_than_two_and_a_half() -> None:
    done = systemd("security", "--offline=true", "--threshold=25", str(SHIPPED / DAEMON))
    assert done.returncode == 0, done.stdout


def test_for_docker_the_daemon_is_let_see_its_containers() -> None:
    """That it then does is tried in tests/containers/test_gpus.py, with a real container."""
    found = directives("docker.conf.example")
    assert (found["ProtectProc"], found["PrivateUsers"]) == ("default", "no")


def test_for_gpus_the_daemon_gets_their_devices_and_no_others(
    nothing_is_left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_in = nothing_is_left / f"{DAEMON}.d/gpu.conf"
    drop_in.parent.mkdir()
    shutil.copy(SHIPPED / "gpu.conf.example", drop_in)
    unit = nothing_is_left / DAEMON
    shutil.copy(SHIPPED / DAEMON, unit)
    monkeypatch.setenv("SYSTEMD_UNIT_PATH", f"{nothing_is_left}:")
    done = systemd("security", "--offline=true", "--threshold=25", str(unit))
    shutil.rmtree(drop_in.parent)
    unit.unlink()
    assert done.returncode == 0, done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "DeviceAllow=" in line)
    assert "char-nvidia*:rw" in line
    assert directives("gpu.conf.example") == {
        "PrivateDevices": "no",
        "DevicePolicy": "closed",
        "DeviceAllow": "char-nvidia* rw",
        "ReadWritePaths": "-/run/env-runner-gpus",
        "Wants": "modprobe@nvidia.service modprobe@nvidia_uvm.service",
        "After": "modprobe@nvidia.service modprobe@nvidia_uvm.service nvidia-persistenced.service",
    }


def test_the_directory_of_locks_that_the_documents_name_can_be_written_by_the_daemon() -> None:
    text = (SHIPPED.parent / "docs/gpu.md").read_text()
    (named,) = re.findall(r"^d (/run/\S+) 3770 root env-runner -$", text, re.MULTILINE)
    assert directives("gpu.conf.example")["ReadWritePaths"] == f"-{named}"


def test_the_keeper_comes_and_goes_without_the_daemon() -> None:
    unit = directives(DAEMON)
    assert unit["Wants"] == KEEPER
    assert KEEPER in unit["After"].split()
    for binding in ("Requires", "Requisite", "BindsTo", "PartOf"):
        assert binding not in unit
        assert binding not in directives(KEEPER)


def test_the_daemon_is_not_started_again_where_that_cannot_help() -> None:
    unit = directives(DAEMON)
    assert (unit["Type"], unit["Restart"]) == ("notify", "on-failure")
    assert unit["RestartPreventExitStatus"] == "75 78"


def test_the_keeper_has_a_group_to_itself_and_leaves_nothing_in_it() -> None:
    unit = directives(KEEPER)
    assert (unit["Delegate"], unit["KillMode"]) == ("yes", "control-group")
    assert unit["OOMPolicy"] == "continue"
    assert unit["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_nothing_that_breaks_programs_is_set_where_tasks_inherit_it() -> None:
    inherited = re.compile(
        "Protect|Private|Restrict(?!PreventExit|ForceExit)|SystemCall|NoNewPriv|MemoryDeny|"
        "LockPers|IPAddress|Capabilit|Ambient|ReadOnly|Inaccessible|Root|Watchdog|Nice|CPUSched"
    )
    restarts = {"Restart", "RestartSec"}
    unit = directives(KEEPER)
    assert [key for key in unit if inherited.match(key) and key not in restarts] == []


def test_each_directive_of_the_keeper_has_its_reason_above_it() -> None:
    service = (SHIPPED / KEEPER).read_text().partition("[Service]\n")[2].partition("[Install]")[0]
    reason = False
    for line in service.splitlines():
        reason = line.startswith("#") or (reason and line != "")
        assert reason or line == "", f"no reason is given for {line}"


def test_the_shipped_configuration_is_what_the_units_have() -> None:
    config = load(SHIPPED / "config.toml", {}, root=False)
    unit = directives(KEEPER)
    words = unit["ExecStart"].split()
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert config.notes == ()
    assert config.local.keeper_socket == options["--socket"]
    assert config.local.keeper_root == options["--root"]
    assert (config.local.user, config.local.sandbox) == ("", None)
    assert config.local.users == options["--task-users"]
    assert {"--allow-users", "--allow-none"}.isdisjoint(options)
    state = f"/var/lib/{directives(DAEMON)['StateDirectory']}"
    assert options["--mounts"] == f"{state}/environments,/opt/env-runner"
    assert directives(DAEMON)["User"] == options["--daemon-uid"]
    assert not config.local.start_keeper
    assert config.logging.directory == f"/var/log/{directives(DAEMON)['LogsDirectory']}"
    assert options["--root"] == f"/var/lib/{unit['StateDirectory']}"
    assert options["--socket"].startswith(f"/run/{unit['RuntimeDirectory']}/")


def test_the_user_of_the_daemon_is_made_and_tasks_need_none() -> None:
    made = re.findall(r"(?m)^u +(\S+)", (SHIPPED / "env-runner.sysusers.conf").read_text())
    assert made == [directives(DAEMON)["User"]]
