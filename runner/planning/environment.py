"""The variables that a task finds, but for paths, which its executor alone knows.

Nothing of the daemon's own environment is among them.
"""

from __future__ import annotations

from collections.abc import Mapping

from runner.domain.task import Task

_DEFAULTS = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
"""What the payload may set otherwise; HOME and TMPDIR lie in the workspace and come later."""

_NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}


def environment(task: Task, attempt: int) -> dict[str, str]:
    """The variables of one attempt of a task: who it is, what its plan gives, no GPU."""
    return compose(
        task.plan.env,
        {
            "ENV_RUNNER_TASK_ID": task.task_id,
            "ENV_RUNNER_ATTEMPT": str(attempt),
            "ENV_RUNNER_TASK_CLASS": str(task.task_class),
            "ENV_RUNNER_TENANT": task.tenant,
            "ENV_RUNNER_WORKFLOW_ID": task.workflow_id,
        },
    )


def compose(given: Mapping[str, str], identity: Mapping[str, str]) -> dict[str, str]:
    """Defaults, over them what the payload gives, over it what the runner says."""
    return {**_DEFAULTS, **given, **identity, **_NO_GPU}
