"""Who may call what. A caller is the principal of the listener that it came in by.

Call metadata is never trusted with it: whoever can open a listener is that listener's
principal. Which tasks a principal sees is the engine's to hold; here is only which calls.
"""

from __future__ import annotations

from runner.domain.principal import Principal, Role
from runner.domain.refusal import Code, Refused

SERVICE = "supervisor.v1.Supervisor"

_READERS = frozenset({Role.ASSIGNER, Role.READER, Role.OPERATOR})
_ASSIGNERS = frozenset({Role.ASSIGNER})
_OPERATORS = frozenset({Role.OPERATOR})

ROLES: dict[str, frozenset[Role]] = {
    f"/{SERVICE}/AssignTask": _ASSIGNERS,
    f"/{SERVICE}/PlanTask": _ASSIGNERS,
    f"/{SERVICE}/CancelTask": _ASSIGNERS,
    f"/{SERVICE}/AcknowledgeTasks": _ASSIGNERS,
    f"/{SERVICE}/GetTask": _READERS,
    f"/{SERVICE}/ListTasks": _READERS,
    f"/{SERVICE}/WatchTasks": _READERS,
    f"/{SERVICE}/StreamOutput": _READERS,
    f"/{SERVICE}/GetRunner": _READERS,
    f"/{SERVICE}/SetDrain": _OPERATORS,
}
"""Each call of the service, and the roles of which its caller needs one."""


def allow(who: Principal, method: str) -> None:
    """Return where `who` may make this call; raise Refused (ROLE_DENIED) where not.

    What is no call of the service (health, reflection) is open to all who can connect.
    """
    if not method.startswith(f"/{SERVICE}/"):
        return
    needed = ROLES[method]
    if needed & who.roles:
        return
    name = method.rpartition("/")[2]
    roles = " or ".join(sorted(needed))
    raise Refused(
        Code.PERMISSION_DENIED,
        "ROLE_DENIED",
        f"{name} needs the role {roles}, which {who.name} has not",
        rule="auth.roles",
    )
