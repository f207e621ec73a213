"""Archives of builds that ran foreign code: what is taken of them, and what is never."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.environments import tree

PYTHON = "/usr/bin/python3.11"
FILE, DIRECTORY, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
Entry = tuple[str, bytes, str]


@pytest.fixture
def target(nothing_is_left: Path) -> Iterator[Path]:
    path = nothing_is_left / "tree"
    path.mkdir()
    yield path
    tree.remove(str(path))


def archive(*entries: Entry) -> io.BytesIO:
    """Of entries with name, kind, and content or target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, kind, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = kind, 0o6777
            entry.linkname = content if kind in (LINK, HARD) else ""
            data = content.encode() if kind == FILE else b""
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    out.seek(0)
    return out


def unpack(target: Path, *entries: Entry, most: int = 10**9) -> tree.Content:
    return tree.unpack(archive(*entries), str(target), PYTHON, most)


def test_what_a_build_made_is_there_and_closed(target: Path) -> None:
    content = unpack(
        target,
        (".", DIRECTORY, ""),
        ("./lib", DIRECTORY, ""),
        ("./lib/a.py", FILE, "x = 1"),
        ("./lib/b.py", HARD, "./lib/a.py"),
        ("./lib64", LINK, "lib"),
        ("./bin", DIRECTORY, ""),
        ("./bin/python", LINK, PYTHON),
        ("./bin/python3", LINK, "python"),
    )
    assert (target / "lib64/b.py").read_text() == "x = 1"
    assert (target / "bin/python").readlink() == Path(PYTHON)
    modes = {path.name: path.lstat().st_mode & 0o7777 for path in target.rglob("*.py")}
    assert modes == {"a.py": 0o555, "b.py": 0o555}
    assert target.stat().st_mode & 0o777 == 0o555
    assert content == tree.look(str(target))


@pytest.mark.parametrize(
    "entries",
    [
        [("../evil", FILE, "x")],
        [("/etc/evil", FILE, "x")],
        [("a/../../evil", FILE, "x")],
        [("a", LINK, "/etc")],
        [("a", LINK, "../..")],
        [("a", LINK, "b/../../c")],
        [("d", DIRECTORY, ""), ("d/l", LINK, ".."), ("a", LINK, "d/l/../x")],
        [("a", HARD, ".")],
        [("a", LINK, "")],
        [("a", LINK, PYTHON + "/../../../etc/passwd")],
        [("a", LINK, "sub"), ("a/evil", FILE, "x")],
        [("a", FILE, "x"), ("a", FILE, "y")],
        [("a", FILE, "x"), ("a/b", FILE, "y")],
        [("a", HARD, "/etc/passwd")],
        [("a", HARD, "../../etc/passwd")],
        [("a", HARD, "nothing")],
        [("a", tarfile.FIFOTYPE, "")],
        [("a", tarfile.CHRTYPE, "")],
        [("a", tarfile.BLKTYPE, "")],
        [("/".join("a" * 50), DIRECTORY, "")],
        [],
    ],
)
def test_what_leads_out_or_is_no_file_is_refused(target: Path, entries: list[Entry]) -> None:
    with pytest.raises(tree.BadArchive):
        unpack(target, *entries)
    assert not (target.parent / "evil").exists()


def test_it_stops_at_its_size_and_its_number_of_entries(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(tree.BadArchive, match="larger than 10000 bytes"):
        unpack(target, ("a", FILE, "x" * 9000), ("b", FILE, "x" * 2000), most=10_000)
    assert not (target / "b").exists()
    monkeypatch.setattr(tree, "MOST_ENTRIES", 2)
    with pytest.raises(tree.BadArchive, match="more than 2 files"):
        unpack(target, *((f"c{n}", FILE, "") for n in range(3)))


def pax(kind: bytes, claimed: int, data: bytes) -> bytes:
    """A header for the entry behind it, of a size that may not be so."""
    entry = tarfile.TarInfo("header")
    entry.type, entry.size = kind, claimed
    return entry.tobuf(tarfile.GNU_FORMAT) + data.ljust(-len(data) % 512 + len(data), b"\0")


@pytest.mark.parametrize(
    "data",
    [
        pax(tarfile.XHDTYPE, 8 << 30, b""),
        pax(tarfile.GNUTYPE_LONGNAME, 2 << 20, b""),
        pax(tarfile.XHDTYPE, 14, b"14 size=-5000\n") * 3000,
        pax(tarfile.XHDTYPE, 17, b"17 mtime=1e9999\n\n"),
        pax(tarfile.XHDTYPE, 14, b"14 mtime=soon\n"),
        pax(tarfile.XHDTYPE, 20, b"20 size=99999999999\n"),
        pax(tarfile.XHDTYPE, 30, b"30 GNU.sparse.realsize=1" + b"0" * 5 + b"\n"),
        pax(tarfile.XHDTYPE, 600, b"600 path=" + b"n" * 590 + b"\n"),
        pax(tarfile.XHDTYPE, 12, b"12 path=a\0b\n"),
    ],
)
def test_headers_that_lie_cost_nothing(target: Path, data: bytes) -> None:
    whole = data + archive(("a", FILE, "x")).getvalue()
    try:
        content = tree.unpack(io.BytesIO(whole), str(target), PYTHON, 10**9)
    except tree.BadArchive:
        pass
    else:  # it was passed over
        assert content.size == 4096


def test_what_is_no_archive_is_refused(target: Path) -> None:
    whole = archive(("a", FILE, "x" * 5000)).getvalue()
    for data in (b"", b"x" * 2000, whole[:1000], b"\0" * 10240):
        with pytest.raises(tree.BadArchive):
            tree.unpack(io.BytesIO(data), str(target), PYTHON, 10**9)
        (target / "a").unlink(missing_ok=True)


names = st.sampled_from(
    ["a", "b", "a/b", "b/a", "../x", "/x", ".", "..", "a/..", "a//b", "", "../b", "a/b/../.."]
)
kinds = st.sampled_from([FILE, DIRECTORY, LINK, HARD])


@given(st.lists(st.tuples(names, kinds, names), max_size=6))
def test_nothing_is_ever_written_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]
) -> None:
    home = tmp_path_factory.mktemp("home")
    target = home / "tree"
    target.mkdir()
    try:
        unpack(target, *entries)
    except tree.BadArchive:
        pass
    else:
        for path in target.rglob("*"):
            assert Path(os.path.realpath(path)).is_relative_to(target)
    assert [path.name for path in home.iterdir()] == ["tree"]
    tree.remove(str(target))


@pytest.mark.parametrize("change", ["content", "mode", "new", "gone", "exchanged"])
def test_whatever_changes_is_told(target: Path, change: str) -> None:
    before = unpack(target, ("a", FILE, "x"), ("b", FILE, "y"))
    target.chmod(0o755)
    file = target / "a"
    about = file.stat()
    file.chmod(0o644)
    match change:
        case "content":
            file.write_text("z")
        case "new":
            (target / "c").touch()
        case "gone":
            file.unlink()
        case "exchanged":
            (target / "b").replace(file)
    if change in ("content", "new"):
        os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
        file.chmod(0o444)
    assert tree.look(str(target)).digest != before.digest
