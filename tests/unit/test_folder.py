"""What only the folder promises: kills, clocks, disks and damage. The rest is in tests/contract."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.embedded.folder import FolderStore
from shared.embedded.folder_files import encode, os_errors
from shared.errors import AccessDenied, Corrupt, Interrupted, Missing, Rejected, TimedOut, Unreachable
from shared.resilience.deadline import Deadline


def soon() -> Deadline:
    return Deadline.after(20.0)


def data_file(root: Path, name: str) -> Path:
    (home,) = (root / "objects").glob(f"{encode(name)}@")
    return max(home.iterdir(), key=lambda version: int(version.name)) / "data"


WRITER = """
import sys
from pathlib import Path
from shared.embedded.folder import FolderStore
from shared.resilience.deadline import Deadline
store, deadline = FolderStore(Path(sys.argv[1])), Deadline.after(60)
print("up", flush=True)
for turn in range(100_000):
    with store.open_write("a/object", deadline) as writer:
        for _ in range(8):
            writer.write(bytes([turn % 256]) * 5_000)
"""


def test_a_kill_at_any_moment_leaves_a_whole_object(tmp_path: Path, full: bool) -> None:
    """Without it, a crash in the middle of a write would leave half a backup that looks whole."""
    chance = random.Random(7)
    last = 0
    for _ in range(60 if full else 6):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert child.stdout is not None
        with child, child.stdout:
            child.stdout.readline()
            time.sleep(chance.uniform(0.0, 0.15))  # the moment of the kill is the point
            os.kill(child.pid, signal.SIGKILL)
        store = FolderStore(tmp_path)
        assert list((tmp_path / "tmp").iterdir()) == []
        found = list(store.list("", soon()))
        assert len(found) <= 1
        if found:
            body, info = store.get("a/object", soon())
            assert info.size == len(body) == 40_000
            assert len(set(body)) == 1
            assert info.generation >= last
            last = info.generation
    assert last


def test_opening_leaves_the_file_of_a_living_writer_alone(tmp_path: Path) -> None:
    """Without it, a second process that starts would destroy the upload of the first."""
    store = FolderStore(tmp_path)
    with store.open_write("a", soon()) as writer:
        writer.write(b"one ")
        FolderStore(tmp_path)
        writer.write(b"two")
    assert store.get("a", soon())[0] == b"one two"


def test_generations_grow_when_the_clock_goes_back(tmp_path: Path) -> None:
    """Without it, a corrected clock would let an outdated writer pass its precondition."""
    seen = [FolderStore(tmp_path, clock=lambda: 2e9).put("a", b"1", soon()).generation]
    for at in (1e9, 0.0, 0.0):
        store = FolderStore(tmp_path, clock=lambda at=at: at)  # type: ignore[misc]
        seen.append(store.put("a", b"1", soon()).generation)
        store.delete("a", soon())
    (tmp_path / "lock").write_bytes(b"")  # lost in a power cut
    seen.append(FolderStore(tmp_path, clock=lambda: 2e9 + 1).put("a", b"1", soon()).generation)
    assert seen == sorted(set(seen))


def test_a_flipped_bit_is_reported_and_never_returned(tmp_path: Path) -> None:
    """Without it, a rotten disk would be restored into production."""
    store = FolderStore(tmp_path)
    store.put("a/b", b"x" * 3_000_000, soon())
    path = data_file(tmp_path, "a/b")
    body = bytearray(path.read_bytes())
    body[1_234_567] ^= 4
    path.write_bytes(body)
    with pytest.raises(Corrupt, match="a/b"):
        store.get("a/b", soon())


def test_a_truncated_file_is_reported(tmp_path: Path) -> None:
    """Without it, a backup cut short would be taken for the whole."""
    store = FolderStore(tmp_path)
    store.put("a", b"x" * 1000, soon())
    os.truncate(data_file(tmp_path, "a"), 900)
    with pytest.raises(Interrupted, match="900 of 1000"):
        store.get("a", soon())


def test_an_object_longer_than_recorded_is_corrupt(tmp_path: Path) -> None:
    """Without it, bytes appended to a file would go unnoticed."""
    store = FolderStore(tmp_path)
    store.put("a", b"x" * 1000, soon())
    with data_file(tmp_path, "a").open("ab") as file:
        file.write(b"y")
    with pytest.raises(Corrupt, match="longer"):
        store.get("a", soon())


@pytest.mark.parametrize("damage", ["facts.json", "data", "garbage"])
def test_a_damaged_version_is_corrupt_not_missing(tmp_path: Path, damage: str) -> None:
    """Without it, half-deleted files would read as "never written" or end in a stack trace."""
    store = FolderStore(tmp_path)
    store.put("a", b"x", soon())
    version = data_file(tmp_path, "a").parent
    if damage == "garbage":
        (version / "facts.json").write_bytes(b"\x00{")
    else:
        (version / damage).unlink()
    with pytest.raises(Corrupt, match="damaged"):
        store.get("a", soon())


def test_a_full_disk_names_the_path_and_keeps_the_old_object(tmp_path: Path) -> None:
    """Without it, a full disk would be a stack trace, or would cost the object that was there."""
    limited = """
import resource, signal, sys
from pathlib import Path
from shared.embedded.folder import FolderStore
from shared.errors import Rejected
from shared.resilience.deadline import Deadline
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
store, deadline = FolderStore(Path(sys.argv[1])), Deadline.after(20)
store.put("a", b"old", deadline)
try:
    store.put("a", b"x" * 20_000, deadline)
except Rejected as error:
    print(error)
print(store.get("a", deadline)[0].decode(), len(list((Path(sys.argv[1]) / "tmp").iterdir())))
"""
    run = subprocess.run(
        [sys.executable, "-c", limited, str(tmp_path)], capture_output=True, text=True, check=True
    )
    message, rest = run.stdout.splitlines()
    assert f"{tmp_path}/a" in message
    assert rest == "old 0"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, Rejected),
        (errno.EDQUOT, Rejected),
        (errno.EACCES, AccessDenied),
        (errno.EROFS, AccessDenied),
        (errno.ENOENT, Missing),
        (errno.EIO, Unreachable),
    ],
)
def test_each_error_of_the_system_has_its_meaning(number: int, expected: type[Exception]) -> None:
    """Without it, a full or failing disk would be retried, or be shown as a missing object."""
    with pytest.raises(expected, match="/some/path"), os_errors("write", Path("/some/path")):
        raise OSError(number, os.strerror(number))


def test_waiting_for_the_lock_ends_with_the_deadline(tmp_path: Path) -> None:
    """Without it, one stuck process would hang every request that touches the store."""
    store = FolderStore(tmp_path)
    other = FolderStore(tmp_path)
    with store._locked(soon()), pytest.raises(TimedOut, match="lock"):
        other.put("a", b"", Deadline.after(0.05))


def test_names_that_differ_in_case_or_form_are_different_objects(tmp_path: Path) -> None:
    """Without it, pages would overwrite each other on disks that fold case."""
    store = FolderStore(tmp_path)
    names = ["a", "A", "a/b", "e\u0301", "\u00e9", "a@", "a~", "x" * 900, "%41"]
    for name in names:
        store.put(name, name.encode(), soon())
    assert [info.name for info in store.list("", soon())] == sorted(names)
    paths = [str(path.relative_to(tmp_path)) for path in (tmp_path / "objects").rglob("*@")]
    assert len({path.lower() for path in paths}) == len(names)
    assert all(store.get(name, soon())[0] == name.encode() for name in names)


def test_nothing_is_left_in_the_folder_after_a_delete(tmp_path: Path) -> None:
    """Without it, years of deleted objects would slow every listing."""
    store = FolderStore(tmp_path)
    store.put("a/b/c", b"1", soon())
    store.put("a/b/c", b"2", soon())
    store.delete("a/b/c", soon())
    assert list((tmp_path / "objects").iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []
