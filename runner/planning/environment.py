"""The variables that a task finds, but for paths, which its executor alone knows.

Nothing of the daemon's own environment is among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.domain.task import Task

_DEFAULTS = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
"""What the payload may set otherwise; HOME and TMPDIR lie in the workspace and come later."""

_NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}


def environment(task: Task, attempt: int) -> dict[str, str]:
    """The variables of one attempt of a task: who it is, what its plan gives, and the GPUs that
    are leased to it."""
    leased = (each.gpu_uuids for each in task.attempts if each.number == attempt)
    return compose(
        task.plan.env,
        {
            "ENV_RUNNER_TASK_ID": task.task_id,
            "ENV_RUNNER_ATTEMPT": str(attempt),
            "ENV_RUNNER_TASK_CLASS": str(task.task_class),
            "ENV_RUNNER_TENANT": task.tenant,
            "ENV_RUNNER_WORKFLOW_ID": task.workflow_id,
        },
        next(leased, ()),
    )


def compose(
    given: Mapping[str, str], identity: Mapping[str, str], gpu_uuids: Sequence[str] = ()
) -> dict[str, str]:
    """Defaults, over them what the payload gives, over it what the runner says."""
    return {**_DEFAULTS, **given, **identity, **_visible(gpu_uuids)}


def _visible(gpu_uuids: Sequence[str]) -> dict[str, str]:
    """By UUID and never by index, which shifts when a device is lost."""
    return dict.fromkeys(_NO_GPU, ",".join(gpu_uuids)) if gpu_uuids else _NO_GPU
