from __future__ import annotations

import pytest

from runner.domain.failure import Fault, Reason
from runner.ports import LaunchFailed
from tests.support.environments import Site


async def test_a_task_finds_what_it_asked_for(site: Site) -> None:
    code = "import beta, alpha, sys; print(beta.X, alpha.__file__, sys.version_info[:2])"
    end, said = await site.run(code, "beta")
    assert (end.code, said.split()[0]) == (0, "1.0")
    assert str(site.store) in said


async def test_what_is_missing_is_told_with_the_last_words_of_uv(site: Site) -> None:
    with pytest.raises(LaunchFailed) as failed:
        await site.environment("nosuch")
    failure = failed.value.failure
    assert failure.reason is Reason.ENVIRONMENT
    assert (failure.fault, failure.retryable) == (Fault.TASK, False)
    assert "nosuch was not found" in failure.message
    assert b"building the environment (nosuch)" in failed.value.log
    assert b"nosuch was not found" in failed.value.log
