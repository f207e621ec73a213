"""Pages of tasks, newest first, of what the caller may see."""

from __future__ import annotations

from runner.domain.identity import check_labels
from runner.domain.principal import Principal
from runner.domain.task import Task
from runner.engine import refusals
from runner.engine.api import ListRequest
from runner.engine.cursor import page_token, read_page_token
from runner.ports import Journal, Query

PAGE, LARGEST_PAGE = 100, 1000
_LONGEST = 128  # characters of a tenant or a workflow id: no task has a longer one
_LAST = 2**63 - 1  # the largest position that a journal can be asked for


async def page(journal: Journal, who: Principal, request: ListRequest) -> tuple[list[Task], str]:
    """A page, and the token of the next (empty on the last). Raises Refused."""
    if not 0 <= request.page_size <= LARGEST_PAGE:
        raise refusals.out_of_range("page_size", f"a page has 1 to {LARGEST_PAGE} tasks")
    check_labels(request.labels)
    for field in ("tenant", "workflow_id"):
        if len(getattr(request, field)) > _LONGEST:
            raise refusals.out_of_range(field, f"it has {_LONGEST} characters at most")
    before = read_page_token(request.page_token) if request.page_token else None
    if before is not None and before > _LAST:
        raise refusals.bad_cursor("page_token", "the token is none of this runner's")
    query = Query(
        states=request.states,
        classes=request.classes,
        tenant=request.tenant or None,
        workflow_id=request.workflow_id or None,
        labels=request.labels,
        tenants=None if who.sees_all else who.tenants,
        before=before,
        limit=request.page_size or PAGE,
    )
    tasks, position = await journal.page(query)
    return tasks, "" if position is None else page_token(position)
