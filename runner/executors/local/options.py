"""The command line of a keeper that is started here, as far as it depends on what is configured."""

from __future__ import annotations

from collections.abc import Sequence


def keeper_options(
    sandbox: str,
    task_user: tuple[int, int] | None,
    task_users: str,
    view: Sequence[str] | None,
    mounts: Sequence[tuple[str, bool]] = (),
    *,
    root: bool,
) -> tuple[str, ...]:
    """What a keeper is told: whom tasks may run as, what they may see, and whether it may do
    without a sandbox. `mounts` are host paths and whether they may be written to; `root` says
    whether it is started as root, who alone has other users."""
    options: list[str] = []
    if task_user is not None:
        options += ["--allow-users", str(task_user[0])]
    if root:
        options += ["--task-users", task_users]
    if view is not None:
        options += ["--view", ":".join(view)]
    if mounts:
        granted = (f"{path}:rw" if writable else path for path, writable in mounts)
        options += ["--mounts", ",".join(granted)]
    if sandbox == "none":
        options.append("--allow-none")
    return tuple(options)
