"""Followers of files that grow: told at once, cut off at random, a thousand for nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runner.ports import OutputReader, Position
from runner.storage.inotify import Inotify
from runner.storage.output import FileOutput
from tests.support.indexed import IndexedFiles
from tests.support.waiting import until

BOTH = frozenset({1, 2})
MS = 1_000_000


@pytest.fixture
def store() -> Iterator[FileOutput]:
    with closing(FileOutput()) as store:
        yield store


def watches() -> int:
    """How many inotify watches this process has."""
    count = 0
    for entry in Path("/proc/self/fdinfo").iterdir():
        try:
            count += entry.read_text().count("inotify wd:")
        except FileNotFoundError:
            continue  # that of the listing itself
    return count


def descriptors() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Follower:
    """Follows until it was told of the end, and is cut off now and then on its way."""

    def __init__(self, store: FileOutput, directory: Path, seed: int) -> None:
        self.store, self.directory = store, directory
        self.chance = random.Random(seed)
        self.position = Position()
        self.got = {1: bytearray(), 2: bytearray()}
        self.reader: OutputReader | None = None
        self.over = False

    async def run(self) -> None:
        while not await self._follow(self.chance.randint(1, 8)):
            pass

    async def _follow(self, reads: int) -> bool:
        """So many reads on one share; whether all was read."""
        with closing(self.store.open(self.directory)) as self.reader:
            for _ in range(reads):
                over = self.over
                pieces = await self.reader.read(self.position, BOTH)
                for piece in pieces[: self.chance.randint(1, 16)]:
                    self.got[piece.stream] += piece.data
                    self.position = piece.position
                if not pieces and over:
                    return True
                if not pieces:
                    await self.reader.changed(self.position)
        return False

    def end(self) -> None:
        self.over = True
        if self.reader is not None:
            self.reader.wake()


async def test_50_followers_that_are_cut_off_at_random_have_every_byte(
    store: FileOutput, tmp_path: Path
) -> None:
    directory = tmp_path / "er-1" / "output"
    followers = [Follower(store, directory, seed) for seed in range(50)]
    running = [asyncio.ensure_future(follower.run()) for follower in followers]
    await asyncio.sleep(0)
    chance = random.Random(7)
    expected = {1: bytearray(), 2: bytearray()}
    files = IndexedFiles(directory)
    for number in range(400):
        data = chance.randbytes(chance.choice([1, 30, 5000]))
        stream = chance.choice([1, 1, 2])
        files.write(stream, data, number * 3 * MS)
        expected[stream] += data
        if number % 10 == 0:
            await asyncio.sleep(0)
    files.close()
    for follower in followers:
        follower.end()
    await asyncio.gather(*running)
    for follower in followers:
        assert follower.got == expected
    with closing(store.open(directory)) as reader:
        out, err = await reader.digests(reader.sizes())
    assert out == hashlib.sha256(expected[1]).hexdigest()
    assert err == hashlib.sha256(expected[2]).hexdigest()
    assert watches() == 0


async def test_a_thousand_idle_followers_share_one_watch_and_three_descriptors(
    store: FileOutput,
    tmp_path: Path,
) -> None:
    files = IndexedFiles(tmp_path / "output")
    files.write(1, b"x", 0)
    files.flush()
    before = descriptors()
    readers = [store.open(tmp_path / "output") for _ in range(1000)]
    waiting = [asyncio.ensure_future(reader.changed(Position(1, 0))) for reader in readers]
    await asyncio.sleep(0)
    assert watches() == 1
    assert descriptors() - before <= 4  # and inotify's own, which stays
    assert not any(waiter.done() for waiter in waiting)
    files.write(2, b"y", 0)
    await asyncio.gather(*waiting)
    for reader in readers:
        reader.close()
    files.close()
    assert watches() == 0
    assert descriptors() == before - 3 + 1  # the writer's are closed too


async def test_growth_of_the_index_alone_wakes_nobody(store: FileOutput, tmp_path: Path) -> None:
    files = IndexedFiles(tmp_path)
    files.write(1, b"x", 0)
    with closing(store.open(tmp_path)) as reader:
        waiting = asyncio.ensure_future(reader.changed(Position(1, 0)))
        await asyncio.sleep(0)
        files.flush()
        (tmp_path / "other").write_bytes(b"x")
        await until(lambda: watches() == 1, "the watch is armed again")
        assert not waiting.done()
        files.write(1, b"x", 0)
        await waiting
    files.close()


async def test_each_directory_on_the_way_may_come_later(store: FileOutput, tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b" / "c"
    with closing(store.open(directory)) as reader:
        waiting = asyncio.ensure_future(reader.changed(Position()))
        for parent in (tmp_path / "a", tmp_path / "a" / "b", directory):
            await asyncio.sleep(0)
            parent.mkdir()
            await until(lambda: watches() == 1, "one watch, on what is there")
            assert not waiting.done()
        (directory / "stdout").write_bytes(b"")
        (directory / "stdout.new").write_bytes(b"x")
        (directory / "stdout.new").rename(directory / "stderr")
        await waiting
        assert reader.sizes() == Position(0, 1)


async def test_a_cancelled_wait_leaves_no_watch(store: FileOutput, tmp_path: Path) -> None:
    with closing(store.open(tmp_path)) as reader:
        waiting = asyncio.ensure_future(reader.changed(Position()))
        await asyncio.sleep(0)
        assert watches() == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert watches() == 0


async def test_followers_are_told_also_where_the_kernel_has_no_watch_left(
    store: FileOutput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Inotify, "watch", none_left)
    with closing(store.open(tmp_path)) as reader:
        waiting = asyncio.ensure_future(reader.changed(Position()))
        await asyncio.sleep(0)
        (tmp_path / "stdout").write_bytes(b"x")
        await waiting


async def test_events_that_the_kernel_dropped_are_made_up_for(tmp_path: Path) -> None:
    with closing(Inotify()) as inotify:
        await _overflow(inotify, tmp_path)


async def _overflow(inotify: Inotify, tmp_path: Path) -> None:
    told: list[str] = []
    directories = [tmp_path / str(number) for number in range(3)]
    for directory in directories:
        directory.mkdir()
        inotify.watch(directory, lambda name=directory.name: told.append(name))
    overflow = os.memfd_create("events")
    os.write(overflow, (-1).to_bytes(4, "little", signed=True) + b"\0\x40\0\0" + bytes(8))
    os.lseek(overflow, 0, os.SEEK_SET)
    asyncio.get_running_loop().remove_reader(inotify._fd)
    os.dup2(overflow, inotify._fd)
    os.close(overflow)
    inotify._readable()
    assert sorted(told) == ["0", "1", "2"]


async def test_its_descriptor_is_kept_from_watch_to_watch(tmp_path: Path) -> None:
    told: list[int] = []
    before = descriptors()
    with closing(Inotify()) as inotify:
        for number in range(3):
            inotify.watch(tmp_path, lambda number=number: told.append(number))
            held = inotify._fd
            (tmp_path / "file").write_bytes(b"%d" % number)
            await until(lambda number=number: told[-1:] == [number], "it was told of the change")
            assert (inotify._fd, watches()) == (held, 0)
        inotify.unwatch(inotify.watch(tmp_path, told.clear), told.clear)
        assert inotify._fd == held
        (tmp_path / "file").write_bytes(b"nobody wants to know")
    inotify.close()
    assert descriptors() == before
    assert told == [0, 1, 2]


async def test_digests_trail_a_file_that_somebody_reads(store: FileOutput, tmp_path: Path) -> None:
    files = IndexedFiles(tmp_path)
    data = os.urandom(20 << 20)
    files.write(1, data, 0)
    files.close()
    with closing(store.open(tmp_path)) as reader:
        await reader.read(Position(), BOTH)
        hashed = store._digests._of(tmp_path / "stdout")
        await until(lambda: hashed.offset == len(data), "hashed to its end")
        assert (await reader.digests(reader.sizes()))[0] == hashlib.sha256(data).hexdigest()


async def test_a_cancelled_digest_spoils_no_later_one(store: FileOutput, tmp_path: Path) -> None:
    (tmp_path / "stdout").write_bytes(data := os.urandom(30 << 20))
    with closing(store.open(tmp_path)) as reader:
        for _ in range(3):
            asked = asyncio.ensure_future(reader.digests(reader.sizes()))
            await asyncio.sleep(0)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        assert (await reader.digests(reader.sizes()))[0] == hashlib.sha256(data).hexdigest()


async def test_a_reader_closed_in_the_middle_of_reading_leaves_nothing_open(
    store: FileOutput,
    tmp_path: Path,
) -> None:
    (tmp_path / "stdout").write_bytes(os.urandom(3 << 20))
    reader = store.open(tmp_path)
    reading = asyncio.ensure_future(reader.read(Position(5, 0), BOTH))
    digesting = asyncio.ensure_future(reader.digests(reader.sizes()))
    await asyncio.sleep(0)
    reader.close()
    assert len((await reading)[0].data) == 128 << 10
    await digesting
    with pytest.raises(ValueError, match="closed"):
        await reader.read(Position(), BOTH)
