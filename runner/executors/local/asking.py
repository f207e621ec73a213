"""What a keeper is asked to launch: a plan with its paths, its limits and its sandbox.

Not here: which sandbox that is (`levels.py`), or asking (`executor.py`).
"""

from __future__ import annotations

from runner.domain import paths
from runner.executors import calls, gpu_nodes
from runner.keeper.messages import Message
from runner.ports import Launch

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_IN_STRICT = ("/workspace", "/tmp", "/run/env-runner")  # noqa: S108 - the task's own
"""Where a task in the strict sandbox sees its workspace, its /tmp and what the runner gives."""


def launch(request: Launch, level: str, root: str, user: tuple[int, int] | None) -> Message:
    """The keeper's message. `root` is its directory, `user` whom tasks run as where they do
    not have one each. Raises gpu_nodes.Unknown."""
    plan = request.plan
    limits = plan.limits
    amounts = {
        "memory": limits.memory_bytes,
        "cpu": limits.cpu_cores,
        "processes": limits.max_processes,
        "disk": plan.sized_disk,
    }
    nodes = gpu_nodes.paths(request.gpus)
    held = plan.level != ""  # before there were sandboxes, plans said that nothing is held
    return {
        "type": "launch",
        "name": request.name,
        "task_id": request.task_id,
        "argv": list(_argv(request, level, root)),
        "env": environment(request, level, root),
        "cwd": plan.working_dir,
        "user": None if user is None or level == "strict" else list(user),
        "wall": limits.wall_time,
        "idle": limits.idle_time,
        "grace": limits.grace,
        "output": limits.output_bytes,
        "stdin": request.stdin is not None,
        "context": request.context is not None,
        "level": level,
        "limits": {
            key: amount if held and amount and key not in plan.unheld else None
            for key, amount in amounts.items()
        },
        "rlimits": {
            key: amount if held and amount and key in plan.unheld and key != "cpu" else None
            for key, amount in {**amounts, "disk": limits.disk_bytes}.items()
        },
        "network": "none" if plan.network == "none" else "host",
        "mounts": [
            {
                "source": paths.plain(each.source),
                "target": paths.plain(each.target),
                "read_only": each.read_only,
            }
            for each in plan.mounts
        ],
        "keep": _patterns(request, "success"),
        "keep_always": _patterns(request, "always"),
        **({"devices": nodes} if nodes else {}),
        **({"task_files": list(request.files)} if request.files else {}),
    }


def _argv(request: Launch, level: str, root: str) -> tuple[str, ...]:
    if not request.interpreter:
        return request.plan.argv
    workspace, _, task = _places(request, level, root)
    return calls.argv(request.interpreter, task, workspace)


def _patterns(request: Launch, when: str) -> list[str]:
    """What in the workspace the outputs may be that are wanted of such an end."""
    plan = request.plan
    return [
        pattern
        for output in plan.outputs
        if output.when == when
        for pattern in paths.output_places(plan.working_dir, output.path)
    ]


def _places(request: Launch, level: str, root: str) -> tuple[str, str, str]:
    """Where the task sees its workspace, its directory for what is temporary, and its own."""
    if level == "strict":
        return _IN_STRICT
    disk = f"{root}/{request.name}/disk"
    return f"{disk}/workspace", f"{disk}/tmp", f"{disk}/task"  # noqa: S108 - its own


def environment(request: Launch, level: str, root: str) -> dict[str, str]:
    """The variables with the paths that the task sees."""
    workspace, temporary, task = _places(request, level, root)
    return {
        "PATH": _PATH,
        "LANG": "C.UTF-8",
        "HOME": workspace,
        "TMPDIR": temporary,
        **request.environment,
        "ENV_RUNNER_CONTEXT": f"{task}/context.json",
        "ENV_RUNNER_RESULT": f"{task}/result.json",
        "ENV_RUNNER_PROGRESS": f"{task}/progress.jsonl",
    }
