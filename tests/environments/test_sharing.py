"""Environments that are there: who shares them, who cannot change them, and which ones go."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from runner.environments import Environment
from runner.ports import LaunchFailed
from tests.support import wheels
from tests.support.environments import Site
from tests.support.waiting import until

TWO_HUNDRED = 200


def there(environment: Environment) -> bool:
    return Path(environment.path).exists()


async def test_two_hundred_tasks_that_ask_for_the_same_build_it_once(open_site: Site) -> None:
    ways = (["beta", "alpha"], ["ALPHA", "Beta"], [" beta ", "alpha", "beta"])
    requests = [open_site.request("true") for _ in range(TWO_HUNDRED)]
    found = await asyncio.gather(
        *(
            open_site.environments.ready(request, open_site.python, ways[n % 3])
            for n, request in enumerate(requests)
        )
    )
    assert len({each.path for each in found}) == 1
    assert open_site.builds() == 1
    assert all(b"the environment is ready after" in each.log for each in found)
    later = await open_site.environment("alpha", "beta")
    assert (later.path, later.log) == (found[0].path, b"")
    for request in requests:
        open_site.environments.release(request.name)
    holds = open_site.store / "holds"
    await until(lambda: not list(holds.iterdir()), "a thread has removed what nobody holds")


async def test_two_hundred_tasks_that_ask_for_what_cannot_be_had_are_all_told(
    open_site: Site,
) -> None:
    requests = [open_site.request("true") for _ in range(TWO_HUNDRED)]
    ready = open_site.environments.ready
    told = await asyncio.gather(
        *(ready(request, open_site.python, ["nosuch"]) for request in requests),
        return_exceptions=True,
    )
    assert all(isinstance(each, LaunchFailed) and b"nosuch" in each.log for each in told)
    assert [event for event, _ in open_site.notes] == ["environment not built"]


async def test_two_daemons_with_one_directory_build_it_once(
    open_site: Site, nothing_is_left: Path
) -> None:
    other = Site(nothing_is_left / "other", "none", {"directory": open_site.store})
    other.changes["wheel_houses"] = (str(open_site.house),)
    await other.reopen()
    try:
        assert not await other.ready()
        one, two = await asyncio.gather(open_site.environment("beta"), other.environment("beta"))
        assert one.path == two.path
        assert len(open_site.trees()) == 1
        assert list((open_site.store / "locks").iterdir()) == []
    finally:
        await other.close()


async def test_another_way_to_ask_that_comes_to_the_same_shares_it(open_site: Site) -> None:
    one = await open_site.environment("beta")
    two = await open_site.environment("beta==1.*", "alpha>=0.5")
    assert one.path == two.path
    assert len(open_site.trees()) == 1


async def test_tenants_share_nothing(open_site: Site) -> None:
    one = await open_site.environment("alpha", tenant="acme")
    two = await open_site.environment("alpha", tenant="umbrella")
    assert Path(one.path).parent != Path(two.path).parent
    assert len(open_site.trees()) == 2


ATTACK = """
import alpha, os, sys
home = os.path.dirname(os.path.dirname(os.path.dirname(alpha.__file__)))
tree = sys.prefix
def attempt(what, *words):
    try:
        what(*words)
    except OSError as error:
        return
    print("DONE", what.__name__, words)
source, compiled = alpha.__file__, alpha.__cached__
attempt(lambda: open(source, "a").write("X = 'evil'"))
attempt(lambda: open(compiled, "r+b").write(b"evil"))
attempt(os.unlink, source)
attempt(os.unlink, compiled)
attempt(os.mkdir, os.path.dirname(source) + "/evil")
attempt(os.chmod, source, 0o666)
attempt(os.chmod, os.path.dirname(source), 0o777)
attempt(os.rename, tree, tree + ".gone")
attempt(os.symlink, "/etc", tree + "/link")
attempt(os.listdir, os.path.dirname(tree))
attempt(os.listdir, os.path.dirname(os.path.dirname(tree)))
for each in ("asked", "about", "staging", "resolved", "holds"):
    attempt(os.listdir, os.path.join(tree, "..", "..", "..", each))
print(alpha.X)
"""


@pytest.mark.parametrize("site", ["strict", "standard"], indirect=True)
async def test_a_task_cannot_change_what_is_shared(site: Site) -> None:
    code, said = await site.run(ATTACK, "alpha==1.0")
    if site.level == "strict":  # it lies at the top there, and what is beside it is no secret
        said = "\n".join(line for line in said.splitlines() if "listdir" not in line) + "\n"
    assert (code, said) == (0, "1.0\n")
    assert (await site.run("import alpha; print(alpha.X)", "alpha==1.0"))[1] == "1.0\n"
    assert site.builds() == 1


async def test_a_tenant_in_the_sandbox_sees_no_other_tenants_environments(
    strict_site: Site,
) -> None:
    other = await strict_site.environment("alpha", tenant="umbrella")
    code = f"import os; print(os.path.exists({other.path!r}), os.path.lexists({other.path!r}))"
    assert (await strict_site.run(code, "beta", tenant="acme"))[1] == "False False\n"


async def test_one_that_was_changed_is_noticed_and_made_anew(open_site: Site) -> None:
    first = await open_site.environment("alpha==1.0")
    site_packages = f"lib/python{open_site.python.version.rpartition('.')[0]}/site-packages"
    module = Path(first.path) / site_packages / "alpha/__init__.py"
    about = module.stat()
    module.chmod(0o644)
    module.write_text("X = 6.6\n")  # as many bytes, at the same time
    os.utime(module, ns=(about.st_atime_ns, about.st_mtime_ns))
    module.chmod(0o444)
    code, said = await open_site.run("import alpha; print(alpha.X)", "alpha==1.0")
    assert (code, said) == (0, "1.0\n")
    assert "environment changed" in [event for event, _ in open_site.notes]
    await open_site.environment("alpha==1.0")
    assert len(open_site.trees()) == 1


async def test_one_whose_packages_are_others_by_now_is_resolved_again(open_site: Site) -> None:
    first = await open_site.environment("alpha==1.0")
    (Path(first.path) / "bin").chmod(0o755)  # it is not what was made any more
    wheels.wheel(open_site.house, "alpha", "1.0", {"alpha/__init__.py": "X = 'other'\n"})
    assert await open_site.run("import alpha; print(alpha.X)", "alpha==1.0") == (0, "other\n")
    wheels.source(open_site.house, "broken", "1.0", "raise SystemExit('not today')")
    open_site.changes["source_builds"] = True
    await open_site.reopen()
    for _ in range(2):
        with pytest.raises(LaunchFailed, match="not today"):
            await open_site.environment("broken")
    (open_site.house / "broken-1.0.tar.gz").unlink()
    wheels.source(open_site.house, "broken", "1.0")
    assert (await open_site.run("import broken; print(broken.X)", "broken"))[1] == "from source\n"


async def test_the_least_recently_used_go_beyond_the_budget_and_none_that_is_in_use(
    open_site: Site,
) -> None:
    for name in ("a1", "b1", "c1"):
        content = {f"{name}.py": "", f"{name}.bin": b"x" * 1_000_000}
        wheels.wheel(open_site.house, name, "1.0", content)
    open_site.changes["budget"] = 2_500_000
    await open_site.reopen()
    held = open_site.request("true")
    a1 = await open_site.environments.ready(held, open_site.python, ["a1"])
    b1 = await open_site.environment("b1")
    c1 = await open_site.environment("c1")
    assert [there(each) for each in (a1, b1, c1)] == [True, False, True]
    open_site.environments.release(held.name)
    await open_site.environment("a1")  # used last but one
    await open_site.environment("b1")
    assert [there(each) for each in (a1, c1)] == [True, False]
    assert len(list((open_site.store / "asked").iterdir())) == 2
    assert list((open_site.store / "staging").iterdir()) == []


async def test_a_task_that_outlives_the_daemon_keeps_its_environment(open_site: Site) -> None:
    content = {"a1.py": "", "a1.bin": b"x" * 1_000_000}
    wheels.wheel(open_site.house, "a1", "1.0", content)
    open_site.changes["budget"] = 500_000
    await open_site.reopen()
    go = open_site.root / "go"
    os.mkfifo(go)
    wait = f"open({str(go)!r}).read(); import a1; print('there')"
    request, found = await open_site.begin(wait, "a1")
    await open_site.reopen()
    await open_site.environment("alpha")
    assert there(found)
    with await asyncio.to_thread(go.open, "w"):
        pass
    assert await open_site.finish(request) == (0, "there\n")
    await open_site.environment("alpha==1.0")
    assert not there(found)


HOLDER = """
import sys, pathlib
from runner.environments.store import Store
store = Store(pathlib.Path(sys.argv[1]), 1, lambda *a, **b: None)
print(store.hold(sys.argv[2], "other-1", pathlib.Path("/nowhere")).name, flush=True)
sys.stdin.read()
"""


async def test_what_another_daemons_task_is_about_to_use_stays(open_site: Site) -> None:
    open_site.changes["budget"] = 1
    await open_site.reopen()
    request = open_site.request("true")
    found = await open_site.environments.ready(request, open_site.python, ["alpha"])
    key = next((open_site.store / "resolved").iterdir()).name
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(open_site.store), key),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    assert (await other.stdout.readline()).decode().strip() == found.name
    open_site.environments.release(request.name)
    await open_site.environment("beta")
    assert there(found)
    other.stdin.close()
    await other.wait()
    await open_site.environment("alpha==1.0")
    assert not there(found)
