"""What holds for every test: it leaves nothing behind, and it is not skipped without need."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.engines.fixtures import (  # noqa: F401 - fixtures are found by their names here
    docker,
    engine,
    images,
    own,
    podman,
    rootless,
)
from tests.support.leaks import MARK, Census, Place, leave_cgroup, own_cgroup, own_old_cgroups

CANNOT_HERE = "cannot here: "
"""How the reason of a skip begins that no installation could cure. In CI, any other fails."""


def pytest_configure() -> None:
    """Have Ctrl-C mean something to the commands under test, also where a shell in the
    background has this process ignore it, which children would inherit."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where this test process, one of several under xdist, is recognised."""
    tmp_path_factory.getbasetemp()  # decided before TMPDIR changes
    name = f"er-test-{os.getpid()}"
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    directory.chmod(0o755)  # tests with other users have to get through
    cgroup, old_cgroups = own_cgroup(name), own_old_cgroups(name)
    os.environ[MARK] = directory.name
    yield Place(directory.name, directory, cgroup, old_cgroups)
    os.environ.pop(MARK, None)
    for each in old_cgroups if cgroup is None else (cgroup, *old_cgroups):
        leave_cgroup(each)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_at_the_end(place: Place) -> Iterator[None]:
    """After the last test of this process: no process or cgroup of any fixture is left."""
    before = Census.take(place)
    yield
    left = [line for line in before.leaks() if not line.startswith("descriptor")]
    before.end_leaked()
    if left:
        pytest.fail("left behind by the whole run:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(autouse=True)
def nothing_is_left(
    place: Place,
    nothing_is_left_at_the_end: None,
) -> Iterator[Path]:
    """Fails a test that leaves processes, descriptors, cgroups or files in its TMPDIR.

    The value is that directory: short enough for sockets, open to other users.
    """
    directory = Path(tempfile.mkdtemp(prefix="", dir=place.directory))
    directory.chmod(0o755)
    before = Census.take(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(directory))
        patch.setattr(tempfile, "tempdir", str(directory))
        yield directory
    if left := before.leaks():
        before.end_leaked()
    left += [f"file {path}" for path in sorted(directory.rglob("*"))]
    shutil.rmtree(directory, ignore_errors=True)
    if left:
        pytest.fail("left behind by this test:\n  " + "\n  ".join(left), pytrace=False)


Report = pytest.TestReport | pytest.CollectReport


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Report, Report]:
    """Turn a skip that an installation could cure into a failure, in CI."""
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Report, Report]:
    """Likewise for a whole module that skips itself."""
    return _judged((yield))


def _judged(report: Report) -> Report:
    if os.environ.get("CI") != "true" or report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return report
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(CANNOT_HERE):
        report.outcome = "failed"
        report.longrepr = (
            f"skipped in CI: {reason}\nInstall what it needs; where no installation could "
            f"help, begin the reason with {CANNOT_HERE!r}."
        )
    return report


@pytest.fixture(scope="session")
def nvml_library(place: Place) -> Path:
    """Where the double of NVIDIA's driver library is built, by who first asks for it."""
    directory = place.directory / "nvml"
    directory.mkdir(exist_ok=True)
    return directory
