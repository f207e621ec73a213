"""The form of the payload, as one table: every key of payload.md, what it takes and means.

Not here: rules between fields (`payload_rules.py`), and what policy makes of it (`planning`).
"""

from __future__ import annotations

from collections.abc import Callable

from runner.domain import image, paths, payload_rules, requirements, uri, values
from runner.domain.execution import (
    Artifacts,
    Execution,
    Kubernetes,
    Payload,
    PythonCall,
    Resources,
    Secret,
    Slurm,
    Ssh,
)
from runner.domain.failure import Reason
from runner.domain.identity import NAME
from runner.domain.limits import RetryPolicy
from runner.domain.plan import Artifact, Mount
from runner.domain.refusal import quote
from runner.domain.shape import (
    EMPTY,
    Choice,
    Field,
    Flag,
    Free,
    ListOf,
    MapOf,
    Quantity,
    Record,
    Text,
    number,
    whole,
)

EXECUTORS = ("local", "docker", "podman", "kubernetes", "slurm", "ssh")
MODES = ("native", "docker", "python")

_YEAR = 366 * 86400.0
_DAY = 86400.0
_PETABYTE = 2**50
_UID = 2**32 - 2  # the one above is no user: (uid_t) -1
_ARGUMENTS = 32_768  # of argv: with the bound of the document, exec's 2 MiB are enough

_name = Text(NAME, hint="letters, digits, '.', '_' and '-', 128 at most", longest=128)
_argument = Text(longest=1024 * 1024)
_env_name = Text(
    "[A-Za-z_][A-Za-z0-9_]*",
    hint="a variable's name is letters, digits and '_', no digit first",
    longest=256,
    shortest=1,
)
_dns_name = Text(
    "[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?",
    hint="lower-case letters, digits, '-' and '.'",
    longest=253,
)
_slurm_word = Text("[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}", longest=128)
_label = Text(
    "(?:[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,251}[A-Za-z0-9])?)?", hint="a label's form", longest=253
)


def _image(text: str) -> tuple[str, str] | None:
    if image.parse(text):
        return None
    return "BAD_REFERENCE", f"{quote(text)} is no image reference, such as host/name:tag"


def _path(check: Callable[[str], paths.Fault]) -> Text:
    return Text(reason="BAD_PATH", check=check)


_reference = Text(reason="BAD_REFERENCE", check=_image, longest=512)
_uri = Text(reason="BAD_REFERENCE", check=uri.fault)


def _user(text: str) -> tuple[str, str] | None:
    numbers = [part for part in text.split(":") if part.isdecimal()]
    if any(int(part) > _UID for part in numbers):
        return "OUT_OF_RANGE", f"{quote(text)} has a number above {_UID}, which wraps around"
    return None


def _time(*, least: float = 0.001, most: float = _YEAR, unbounded: bool = False) -> Quantity:
    return Quantity(values.seconds, least, most, "seconds", unbounded=unbounded)


def _size(*, unbounded: bool = False) -> Quantity:
    return Quantity(values.size, 1, _PETABYTE, "bytes", unbounded=unbounded)


RESOURCES = {
    "cpu": Field(Quantity(values.cores, 0.001, 65_536, "cores", unbounded=True), "Cores."),
    "memory": Field(_size(unbounded=True), "Memory."),
    "gpu": Field(whole(0, 64), "GPUs: exactly 1 in class gpu, 0 elsewhere."),
    "processes": Field(
        Quantity(values.whole, 1, 4_194_304, "processes", unbounded=True), "Processes and threads."
    ),
    "disk": Field(_size(unbounded=True), "Size of the workspace."),
    "output": Field(_size(unbounded=True), "Bytes of stdout and stderr together that are kept."),
    "timeout": Field(_time(unbounded=True), "From start to exit of one attempt."),
    "idle_timeout": Field(_time(unbounded=True), "The longest silence on both streams."),
    "grace": Field(_time(least=0, unbounded=True), "From being asked to stop until it is killed."),
}
"""Shared with the configuration's classes, which have the same keys."""

_secret = Record(
    {
        # Any text: an unknown name is refused by policy, in the same words whatever it is.
        "name": Field(Text(longest=1024), "The secret's name.", required=True),
        "env": Field(_env_name, "The variable that holds it.", ""),
        "path": Field(_path(paths.relative_file), "The file that holds it.", ""),
    },
    Secret,
    payload_rules.secret,
)

_mount = Record(
    {
        "source": Field(_path(paths.absolute), "A host path.", required=True),
        "target": Field(
            _path(paths.inside_container),
            "Where the task sees it.",
            required=True,
        ),
        "read_only": Field(Flag(), "Whether the task can't write to it.", default=True),
    },
    Mount,
)

_retry = Record(
    {
        "max_attempts": Field(whole(1, 100), "All attempts, the first included.", 3),
        "initial_backoff": Field(_time(most=_DAY), "Before the second attempt.", 1.0),
        "max_backoff": Field(_time(most=_DAY), "Between two attempts at most.", 30.0),
        "multiplier": Field(number(1, 100), "By which the back-off grows.", 2.0),
        "on": Field(
            ListOf(Choice(tuple(Reason)), longest=100),
            "After which failures past its start it is tried again.",
            (),
        ),
    },
    RetryPolicy,
)


def _requirement(text: str) -> tuple[str, str] | None:
    why = requirements.fault(text)
    return ("BAD_REFERENCE", f"{quote(text)} {why}") if why else None


_python = Record(
    {
        "entry_point": Field(
            Text(
                r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*",
                "BAD_REFERENCE",
                "package.module:function is meant",
                longest=512,
            ),
            "The function to call, as module:function.",
            "",
        ),
        "script": Field(Text(longest=1024 * 1024, shortest=1), "The text of a program."),
        "arguments": Field(Free(object_only=True), "Keyword arguments of the call.", {}),
        "requirements": Field(
            ListOf(
                Text(reason="BAD_REFERENCE", longest=requirements.LONGEST, check=_requirement),
                longest=requirements.MOST,
            ),
            "What has to be installed: names, extras, versions and markers (PEP 508).",
            (),
        ),
        "python": Field(
            Text(r"3(?:\.[0-9]{1,2}){1,2}", "BAD_REFERENCE", "such as 3.11", longest=16),
            "The version of Python.",
            "",
        ),
    },
    PythonCall,
    payload_rules.python_call,
)

_slurm = Record(
    {
        "partition": Field(_slurm_word, "", ""),
        "account": Field(_slurm_word, "", ""),
        "qos": Field(_slurm_word, "", ""),
        "time": Field(
            Text(
                "[0-9]{1,7}(?::[0-5]?[0-9]){0,2}|[0-9]{1,4}-[0-9]{1,2}(?::[0-5]?[0-9]){0,2}",
                "BAD_NUMBER",
                "Slurm's [days-]hours:minutes:seconds is meant",
                longest=32,
            ),
            "The job's time limit in Slurm's form.",
            "",
        ),
        "gres": Field(
            Text("[A-Za-z0-9_]+(?::[A-Za-z0-9_.-]+){0,2}", hint="such as gpu:1", longest=128),
            "",
            "",
        ),
        "nodes": Field(whole(1, 100_000)),
        "ntasks_per_node": Field(whole(1, 100_000)),
        "cpus_per_task": Field(whole(1, 100_000)),
        "memory": Field(_size(), "Memory of a node."),
    },
    Slurm,
)

_ssh = Record({"host": Field(_name, "A host by its name in the configuration.", "")}, Ssh)

_kubernetes = Record(
    {
        "namespace": Field(_dns_name, "", ""),
        "service_account": Field(_dns_name, "", ""),
        "node_selector": Field(MapOf(_label, _label, 64), "", {}),
        "image_pull_secrets": Field(ListOf(_dns_name, 32), "", ()),
        "priority_class": Field(_dns_name, "", ""),
    },
    Kubernetes,
)

_execution = Record(
    {
        "mode": Field(Choice(MODES), "What runs; chosen where absent.", ""),
        "executor": Field(Choice(EXECUTORS), "Where it runs; chosen where absent.", ""),
        "image": Field(_reference, "The container image.", ""),
        "pull": Field(Choice(("always", "if-not-present", "never")), "When to pull it.", ""),
        "entrypoint": Field(ListOf(_argument, _ARGUMENTS), "The first part of argv."),
        "command": Field(ListOf(_argument, _ARGUMENTS), "The second part of argv."),
        "env": Field(MapOf(_env_name, Text(longest=1024 * 1024)), "Variables.", {}),
        "secrets": Field(ListOf(_secret, 256), "Secrets by name.", ()),
        "mounts": Field(ListOf(_mount, 256), "Host paths below granted ones.", ()),
        "working_dir": Field(
            _path(paths.working_dir),
            "Relative to the workspace; absolute in containers.",
            "",
        ),
        "user": Field(
            Text(
                "(?:0|[1-9][0-9]{0,19}|[a-z_][a-z0-9_-]{0,31})"
                "(?::(?:0|[1-9][0-9]{0,19}|[a-z_][a-z0-9_-]{0,31}))?",
                hint="a user, or user:group, by name or number",
                check=_user,
                longest=64,
            ),
            "As whom it runs in a container; must be granted.",
            "",
        ),
        "stdin": Field(Text(nul=True, longest=1024 * 1024), "Given to the process, then ends."),
        "network": Field(
            Text(
                # With a colon it names another's network; that is refused by policy.
                "none|bridge|host|[a-z0-9]+:.*",
                "BAD_REFERENCE",
                "none, bridge or host is meant",
                longest=256,
            ),
            "none, bridge or host; must be granted.",
            "",
        ),
        "resources": Field(Record(RESOURCES, Resources), "What it needs and may take.", EMPTY),
        "retry": Field(_retry, "When it is tried again.", RetryPolicy()),
        "python": Field(_python, "What mode python runs."),
        "slurm": Field(_slurm, "What Slurm is asked for."),
        "ssh": Field(_ssh, "Which host."),
        "kubernetes": Field(_kubernetes, "Where in the cluster."),
    },
    Execution,
    payload_rules.execution,
)

_sha256 = Text("[0-9a-fA-F]{64}", "BAD_REFERENCE", "64 hexadecimal digits are meant", longest=64)

_input = Record(
    {
        "path": Field(
            _path(paths.relative),
            "A file, or with unpack a directory.",
            required=True,
        ),
        "uri": Field(
            _uri,
            "Where it is fetched from.",
            required=True,
        ),
        "sha256": Field(_sha256, "What it must be.", ""),
        "unpack": Field(Flag(), "Whether it is an archive to be unpacked.", default=False),
    },
    Artifact,
    payload_rules.artifact_input,
)

_output = Record(
    {
        "path": Field(
            _path(paths.relative),
            "A file, a glob or a directory.",
            required=True,
        ),
        "uri": Field(_uri, "Where it is stored.", ""),
        "type": Field(Text(longest=128), "A free word for the orchestrator.", ""),
        "optional": Field(Flag(), "Whether it may be missing.", default=False),
        "when": Field(Choice(("success", "always")), "After which end it is stored.", "success"),
    },
    Artifact,
    payload_rules.artifact_output,
)

_artifacts = Record(
    {
        "inputs": Field(ListOf(_input, 1000), "Fetched before the start.", ()),
        "outputs": Field(ListOf(_output, 1000), "Stored after the end.", ()),
    },
    Artifacts,
    payload_rules.artifacts,
)


def _payload(context: object, **known: object) -> Payload:
    """Without `context`, which is kept as bytes and not looked at."""
    del context
    return Payload(**known)  # type: ignore[arg-type]  # the table below gives these types


PAYLOAD = Record(
    {
        "workflow_id": Field(_name, "The workflow it belongs to.", ""),
        "tenant": Field(_name, "Whose it is.", ""),
        "context": Field(Free(), "Whatever the orchestrator wants kept."),
        "execution": Field(_execution, "What to run and how.", EMPTY),
        "artifacts": Field(_artifacts, "What goes in and comes out.", EMPTY),
    },
    _payload,
)
