"""The configuration: file and variables over defaults, and faults with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config import Config, ConfigError, load, places
from runner.config.model import MinFree, SecretsDirectory
from runner.domain.plan import Mode
from runner.domain.principal import Role
from runner.domain.task import TaskClass
from runner.planning.policy import TenantRules

HOME = {"HOME": "/home/worker", "XDG_RUNTIME_DIR": "/run/user/1000"}

EXAMPLE = """
[runner]
id = "worker-7"
[grpc]
listen = ["unix:/run/env-runner/supervisor.sock"]
insecure = false
[http]
listen = "127.0.0.1:9464"
public_url = ""
hosts = []
[state]
directory = "/var/lib/env-runner"
retention = "24h"
event_retention = "72h"
id_retention = "30d"
min_free = "5%"
reserve = "32MiB"
[logging]
level = "info"
format = "auto"
directory = ""
[classes.cpu_short]
executor = "auto"
image = ""
max_running = 2
max_queued = 10000
  [classes.cpu_short.defaults]
  timeout = "60s"
  memory = "1GiB"
  [classes.cpu_short.limits]
  timeout = "60s"
  memory = "4GiB"
[executors.local]
enabled = true
sandbox = "strict"
[executors.docker]
enabled = false
url = "unix:///var/run/docker.sock"
[executors.podman]
enabled = false
url = "unix:///run/podman/podman.sock"
[executors.slurm]
enabled = false
slurm_conf = "/etc/slurm/slurm.conf"
directory = "/shared/env-runner"
partitions = ["gpu"]
accounts = []
poll_interval = "5s"
[executors.kubernetes]
kubeconfig = ""
namespaces = ["batch"]
[[executors.ssh.hosts]]
name = "gpu-box-3"
address = "10.0.0.3"
port = 22
user = "runner"
key = "/etc/env-runner/ssh/id_ed25519"
known_hosts = "/etc/env-runner/ssh/known_hosts"
[policy]
modes = ["native", "python", "docker"]
images = ["registry.example/team/*"]
host_paths = [{path = "/srv/models", writable = false}]
networks = ["none"]
users = []
[grpc.tls]
certificate = "/etc/env-runner/tls.crt"
key = "/etc/env-runner/tls.key"
client_ca = "/etc/env-runner/clients.crt"
[[auth.principals]]
name = "spiffe://example/orchestrator"
roles = ["assigner"]
tenants = ["acme"]
[tenants.acme]
max_running = 8
max_queued = 1000
rate = 50
weight = 1
[audit]
path = "/var/log/env-runner/audit.jsonl"
[artifacts]
file_roots = [{path = "/srv/data", writable = false}]
[artifacts.http]
hosts = ["files.example:443"]
allow_private = false
[artifacts.s3]
endpoint = "https://s3.example"
region = "us-east-1"
access_key_id = "…"
secret_access_key = "…"
buckets = ["batch"]
path_style = true
allow_http = false
[secrets.directory]
path = "/etc/env-runner/secrets"
tenants = ["acme"]
[sinks.file]
path = "/var/log/env-runner/events.jsonl"
[sinks.webhook]
url = "https://orchestrator.example/events"
[sinks.reddb]
url = "http://127.0.0.1:8080"
namespace = "dspy"
stream = "env_runner_events"
[sinks.kafka]
servers = ["127.0.0.1:9092"]
topic = "env-runner-events"
"""


@pytest.fixture(autouse=True)
def no_file_of_this_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "CONFIG_FILE", tmp_path / "default.toml")


def test_the_default_file_is_read_where_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text('[runner]\nid = "here"')
    assert load(None, HOME, root=False).runner.id == "here"


def loaded(tmp_path: Path, text: str, **environ: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load(path, {**HOME, **environ}, root=False)


def told(tmp_path: Path, text: str, **environ: str) -> list[tuple[str, int, str]]:
    """Every fault's source (a file by its last name), line and key."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, **environ)
    assert str(caught.value).count("\n") == len(caught.value.faults) - 1
    return [(Path(fault.source).name, fault.line, fault.key) for fault in caught.value.faults]


def test_everything_has_a_default() -> None:
    config = load(None, HOME, root=False)
    assert config.grpc.listen == ("unix:/run/user/1000/env-runner/supervisor.sock",)
    assert config.state.directory == Path("/home/worker/.local/state/env-runner")
    assert config.state.id_retention == 30 * 86400
    assert config.http.listen == "127.0.0.1:9464"
    assert config.policy.modes == frozenset(Mode)
    assert config.policy.images == ()
    assert config.local.enabled
    assert not config.failpoints
    assert config.source is None


@pytest.mark.parametrize(
    ("environ", "root", "state", "socket"),
    [
        ({}, True, "/var/lib/env-runner", "/run/env-runner"),
        (
            {"STATE_DIRECTORY": "/s/a:/s/b", "RUNTIME_DIRECTORY": "/r"},
            True,
            "/s/a",
            "/r",
        ),
        (
            {"HOME": "/h", "XDG_STATE_HOME": "/x", "XDG_RUNTIME_DIR": "/u"},
            False,
            "/x/env-runner",
            "/u/env-runner",
        ),
        ({"HOME": "/h"}, False, "/h/.local/state/env-runner", "/h/.local/state/env-runner/run"),
    ],
)
def test_places_are_systemds_or_the_systems_or_the_users(
    *, environ: dict[str, str], root: bool, state: str, socket: str
) -> None:
    config = load(None, environ, root=root)
    assert str(config.state.directory) == state
    assert config.grpc.listen == (f"unix:{socket}/supervisor.sock",)


def test_a_file_with_every_key_loads_and_says_what_has_no_effect_yet(tmp_path: Path) -> None:
    config = loaded(tmp_path, EXAMPLE)
    assert config.runner.id == "worker-7"
    assert config.state.min_free == MinFree(fraction=0.05)
    assert config.classes[TaskClass.CPU_SHORT].max_running == 2
    assert config.classes[TaskClass.CPU_SHORT].limits.memory == 4 * 2**30
    assert config.policy.host_paths[0].path == "/srv/models"
    assert config.tenants == {"acme": TenantRules(1.0, max_running=8, max_queued=1000)}
    assert config.secrets == SecretsDirectory(Path("/etc/env-runner/secrets"), frozenset({"acme"}))
    assert "/etc/env-runner/secrets" in config.own_places.places
    assert "tenants.acme.rate is read, and has no effect in this version" in config.notes
    assert "[audit] is read, and has no effect in this version" in config.notes
    assert "[grpc.tls] is read, and has no effect in this version" in config.notes
    assert not any("[policy]" in note for note in config.notes)
    assert config.source == tmp_path / "config.toml"


def test_variables_go_over_the_file(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        '[state]\ndirectory = "/a"\n[classes.cpu_short]\nmax_running = 1\nmax_queued = 5',
        ENV_RUNNER_STATE__DIRECTORY="/srv/er",
        ENV_RUNNER_STATE__RETENTION="90",
        ENV_RUNNER_STATE__MIN_FREE="1GiB",
        ENV_RUNNER_CLASSES__CPU_SHORT__MAX_RUNNING="4",
        ENV_RUNNER_CLASSES__CPU_SHORT__LIMITS__TIMEOUT="30s",
        ENV_RUNNER_GRPC__LISTEN='["unix:/x"]',
        ENV_RUNNER_POLICY__NETWORKS='["host"]',
        ENV_RUNNER_RUNNER__ID="7",
        ENV_RUNNER_TESTING__FAILPOINTS="true",
        ENV_RUNNER_REGISTRIES='{"r.example:5000": {"login": "robot"}}',
        ENV_RUNNER_ADDRESS="belongs to clients",
        ENV_RUNNER_FAILPOINT="after_intent:kill",
    )
    assert config.registries == {"r.example:5000": "robot"}
    short = config.classes[TaskClass.CPU_SHORT]
    assert config.state.directory == Path("/srv/er")
    assert config.state.retention == 90
    assert config.state.min_free == MinFree(size=2**30)
    assert (short.max_running, short.max_queued, short.limits.timeout) == (4, 5, 30)
    assert config.grpc.listen == ("unix:/x",)
    assert config.policy.networks == {"host"}
    assert config.runner.id == "7"
    assert config.failpoints


def test_a_socket_of_its_own_has_callers_of_its_own(tmp_path: Path) -> None:
    text = '[[grpc.sockets]]\npath = "/run/r.sock"\nroles = ["reader"]\ntenants = ["acme"]'
    (socket,) = loaded(tmp_path, text).grpc.sockets
    assert socket.path == Path("/run/r.sock")
    assert socket.principal.roles == {Role.READER}
    assert socket.principal.sees("acme")
    assert not socket.principal.sees("other")


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ('[runner]\nidd = "x"', 2, "runner.idd"),
        ("\n\n[sandbox]\nx = 1", 3, "sandbox"),
        ("[runner]\nid = 7", 2, "runner.id"),
        ('[runner]\nid = "a b"', 2, "runner.id"),
        ('[grpc]\nlisten = [\n "unix:/a",\n "nowhere"]', 2, "grpc.listen.1"),
        ('[grpc]\nlisten = ["unix:relative"]', 2, "grpc.listen.0"),
        ('[grpc]\nlisten = ["unix:/' + "x" * 107 + '"]', 2, "grpc.listen.0"),
        ('[grpc]\nlisten = ["127.0.0.1:50051"]', 2, "grpc.listen.0"),
        ('[grpc]\ninsecure = true\nlisten = ["[::]:50051"]', 3, "grpc.listen.0"),
        ("[grpc]\nlisten = []", 2, "grpc.listen"),
        ('[grpc]\nlisten = ["unix:/a", "unix:/a"]', 2, "grpc.listen.1"),
        ('[grpc]\nlisten = ["unix:/a", "unix:/b/../a"]', 2, "grpc.listen.1"),
        (
            '[grpc]\ninsecure = true\nlisten = ["127.0.0.1:9", "localhost:9"]',
            3,
            "grpc.listen.1",
        ),
        (
            '[grpc]\nlisten = ["unix:/a"]\n[[grpc.sockets]]\npath = "/a"\nroles = []\ntenants = []',
            4,
            "grpc.sockets.0.path",
        ),
        (
            '[http]\nlisten = "[::1]:9"\n[grpc]\ninsecure = true\nlisten = ["[::1]:09"]',
            2,
            "http.listen",
        ),
        ('[http]\nlisten = "x"', 2, "http.listen"),
        ('[http]\npublic_url = "https://host/a?b=c"', 2, "http.public_url"),
        ('[http]\npublic_url = "https://host/a#b"', 2, "http.public_url"),
        ('[http]\npublic_url = "https://host?"', 2, "http.public_url"),
        ('[http]\npublic_url = "https:///a"', 2, "http.public_url"),
        ('[http]\npublic_url = "https://["', 2, "http.public_url"),
        ('[http]\nlisten = "host:70000"', 2, "http.listen"),
        ('[state]\nretention = "24"', 2, "state.retention"),
        ('[state]\nmin_free = "105%"', 2, "state.min_free"),
        ('[state]\ndirectory = "var"', 2, "state.directory"),
        ('[state]\ndirectory = "/a,b"\n[executors.podman]\nenabled = true', 2, "state.directory"),
        ("[executors.podman]\nenabled=true\n[state]\ndirectory = '/a\"b'", 4, "state.directory"),
        ('x = """\n[a]\n"""\n[state]\nreserve = "a"', 1, "x"),
        ('[state]  # x = 1\n# y\nreserve\t=\t"a"', 3, "state.reserve"),
        ('[logging]\nlevel = "loud"', 2, "logging.level"),
        ('[classes]\ncpu_short.limits.cpu = "x"', 2, "classes.cpu_short.limits.cpu"),
        ('[classes.cpu_short]\nlimits = {cpu = "x"}', 2, "classes.cpu_short.limits.cpu"),
        ('["classes"."cpu_short"]\nmax_running = -1', 2, "classes.cpu_short.max_running"),
        ("[classes.cpu_tiny]\nmax_running = 1", 1, "classes.cpu_tiny"),
        (
            '[classes.cpu_short]\ndefaults.timeout = "9s"\nlimits.timeout = "8s"',
            2,
            "classes.cpu_short.defaults.timeout",
        ),
        ("[executors.slurm]\nenabled = true", 2, "executors.slurm.enabled"),
        ('[executors.docker]\nuser = "0:0"', 2, "executors.docker.user"),
        ('[executors.podman]\nuser = "0:7"', 2, "executors.podman.user"),
        (
            '[executors.podman]\nenabled = true\nurl = "unix:///run/./docker.sock"',
            3,
            "executors.podman.url",
        ),
        ('[registries."index.docker.io"]\nlogin = "x"', 1, "registries.index.docker.io"),
        ('[policy]\nusers = ["7", "0"]', 2, "policy.users.1"),
        ('[policy]\nusers = ["00:0"]', 2, "policy.users.0"),
        ('[executors.docker]\nurl = "tcp://10.0.0.1:2375"', 2, "executors.docker.url"),
        ('[executors.podman]\nuser = "nobody"', 2, "executors.podman.user"),
        ("[executors.nomad]\nenabled = true", 1, "executors.nomad"),
        ('[executors.local]\nsandbox = "some"', 2, "executors.local.sandbox"),
        ('[executors.local]\nusers = "root"', 2, "executors.local.users"),
        ('[executors.local]\nusers = "0-999"', 2, "executors.local.users"),
        ('[executors.local]\nusers = "9-8"', 2, "executors.local.users"),
        ('[executors.local]\nusers = "1000-4294967295"', 2, "executors.local.users"),
        ('[executors.local]\nview = ["usr"]', 2, "executors.local.view.0"),
        ('[policy]\nlimits_not_held = "tell"', 2, "policy.limits_not_held"),
        ('[policy]\nmodes = ["shell"]', 2, "policy.modes.0"),
        ('[policy]\nimages = ["a/*", "r.example/Team/*"]', 2, "policy.images.1"),
        ('[policy]\nhost_paths = [{path = "x"}]', 2, "policy.host_paths.0.path"),
        ('[policy]\nnetworks = ["container:x"]', 2, "policy.networks.0"),
        ('[[grpc.sockets]]\npath = "/a"\n[[grpc.sockets]]\npath = 1', 4, "grpc.sockets.1.path"),
        ("[state]\nreserve = inf", 2, "state.reserve"),
        ("[state]\nretention = 2020-01-01", 2, "state.retention"),
        ("[state\n", 1, ""),
        ("[state]\na = 1\na = 2\n", 3, ""),
        ('[state]\na = "', 2, ""),
    ],
)
def test_a_fault_is_told_with_its_line_and_key(
    tmp_path: Path, text: str, line: int, key: str
) -> None:
    assert ("config.toml", line, key) in told(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("ENV_RUNNER_STATE__RESERVE", "many", "state.reserve"),
        ("ENV_RUNNER_STATES__RESERVE", "1", "states"),
        ("ENV_RUNNER_GRPC__LISTEN", "unix:/x", "grpc.listen"),
        ("ENV_RUNNER_GRPC__INSECURE", "yes", "grpc.insecure"),
        ("ENV_RUNNER_GRPC__INSECURE", "1", "grpc.insecure"),
        ("ENV_RUNNER_CLASSES__CPU_SHORT__MAX_RUNNING", '"4"', "classes.cpu_short.max_running"),
        ("ENV_RUNNER_CLASSES__CPU_SHORT__MAX_RUNNING", "9" * 5000, "classes.cpu_short.max_running"),
        ("ENV_RUNNER_RUNNER__ID__X", "1", "runner.id.x"),
        ("ENV_RUNNER___X", "1", ""),
        ("ENV_RUNNER_POLICY", '{"networks": ["host"]}', ""),
        ("ENV_RUNNER_REGISTRIES", '{"r.e:5": {"login": ""}}', "registries.r.e:5.login"),
    ],
)
def test_a_fault_of_a_variable_names_the_variable(
    tmp_path: Path, name: str, value: str, key: str
) -> None:
    assert told(tmp_path, '[runner]\nid = "a"', **{name: value}) == [(name, 0, key)]


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    faults = told(tmp_path, "[runner]\nid = 1\n[state]\nx = 1", ENV_RUNNER_HTTP__LISTEN="nowhere")
    assert sorted(faults) == [
        ("ENV_RUNNER_HTTP__LISTEN", 0, "http.listen"),
        ("config.toml", 2, "runner.id"),
        ("config.toml", 4, "state.x"),
    ]


def test_a_path_that_podman_cannot_mount_is_no_fault_where_podman_is_not_used() -> None:
    environ = {"HOME": "/home/me", "ENV_RUNNER_STATE__DIRECTORY": "/a,b"}
    assert load(Path("/dev/null"), environ, root=False).state.directory == Path("/a,b")


def test_a_fault_reads_as_file_line_key_and_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, '[logging]\nlevel = "loud"')
    expected = f"{tmp_path}/config.toml:2: logging.level: 'loud' is none of debug, info, "
    assert str(caught.value).startswith(expected)


def test_a_file_that_was_named_must_be_there_and_be_readable(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError) as caught:
            load(path, HOME, root=False)
        assert str(caught.value).startswith(f"{path}: ")
    (tmp_path / "odd.toml").write_bytes(b"[runner]\n\xff")
    with pytest.raises(ConfigError, match=r"odd.toml:2: is not UTF-8"):
        load(tmp_path / "odd.toml", HOME, root=False)


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, '[artifacts.s3]\nsecret_access_key = "' + "hunter2" * 100 + '"')
    assert "hunter2" not in str(caught.value)
