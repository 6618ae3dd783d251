"""Recovery points in the bucket: what is written comes back, and nothing else is ever taken for it."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.embedded.folder import FolderStore
from shared.embedded.key_file import KeyFile, make_key_file
from shared.errors import (
    AccessDenied,
    Corrupt,
    DependencyError,
    Missing,
    PreconditionFailed,
    RequestError,
    SettingsError,
)
from shared.objects import CheckedReader
from shared.ports import ObjectInfo
from shared.recovery import sealed
from shared.recovery.crypto import CHUNK_BYTES, PointCipher
from shared.recovery.point import (
    FORMAT,
    Manifest,
    ObjectEntry,
    PartRecord,
    manifest_name,
    object_name,
    point_id,
    read_point_id,
    record_name,
)
from shared.recovery.streams import check_object, part_reader, part_writer
from shared.resilience.deadline import Deadline

POINT, OTHER = "20260131T030000Z", "20260201T030000Z"
NAME = object_name(POINT, "neon", "a1", "t/public.answers")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def soon() -> Deadline:
    return Deadline.after(60.0)


class Bytes:
    """The reading half of an object store over bytes that a test chose, with no checksum of its own."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    @contextmanager
    def open_read(self, name: str, _deadline: Deadline) -> Iterator[CheckedReader]:
        data = memoryview(self.objects[name])

        def pull(size: int) -> bytes:
            nonlocal data
            piece, data = data[:size], data[size:]
            return bytes(piece)

        yield CheckedReader("test", ObjectInfo(name, len(data), 1, "", 0.0), pull)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "bucket")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    path = tmp_path_factory.mktemp("key") / "key"
    make_key_file(path)
    return KeyFile(path)


@pytest.fixture(params=["plain", "encrypted"])
def cipher(request: pytest.FixtureRequest, keys: KeyFile) -> PointCipher | None:
    return PointCipher(keys, POINT) if request.param == "encrypted" else None


def written(
    store: FolderStore, data: bytes, cipher: PointCipher | None, name: str = NAME, piece: int = 100_000
) -> ObjectEntry:
    with part_writer(store, name, cipher, soon()) as writer:
        for start in range(0, len(data), piece):
            writer.write(data[start : start + piece])
    return writer.entry


def read(store: object, entry: ObjectEntry, cipher: PointCipher | None) -> bytes:
    return b"".join(part_reader(store, entry, cipher, soon()))


@pytest.mark.parametrize("size", [0, 1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_is_written_comes_back(store: FolderStore, cipher: PointCipher | None, size: int) -> None:
    """A backup of some size could not be read again."""
    data = random.Random(size).randbytes(size)
    entry = written(store, data, cipher)
    assert read(store, entry, cipher) == data
    assert (entry.plain_bytes, entry.bytes) == (size, store.stat(NAME, soon()).size)


def test_what_compresses_a_thousandfold_is_read_in_bounded_blocks(store: FolderStore, keys: KeyFile) -> None:
    """A table of spaces would take the drill's memory."""
    cipher = PointCipher(keys, POINT)
    entry = written(store, bytes(64 << 20), cipher, piece=1 << 20)
    assert entry.bytes < 100_000
    assert max(len(block) for block in part_reader(store, entry, cipher, soon())) <= 1 << 20


@settings(max_examples=30, deadline=None)
@given(pieces=st.lists(st.binary(max_size=5000), max_size=20))
def test_how_it_was_cut_makes_no_difference(
    pieces: list[bytes], tmp_path_factory: pytest.TempPathFactory, keys: KeyFile
) -> None:
    """Two writers of the same rows would record different digests."""
    store, cipher = FolderStore(tmp_path_factory.mktemp("bucket")), PointCipher(keys, POINT)
    with part_writer(store, NAME, cipher, soon()) as writer:
        for piece in pieces:
            writer.write(piece)
    whole = written(store, b"".join(pieces), None, "whole")
    assert writer.entry.plain_sha256 == whole.plain_sha256
    assert read(store, writer.entry, cipher) == b"".join(pieces)


def test_an_unencrypted_object_is_a_zstd_file(store: FolderStore) -> None:
    """Somebody who has nothing but zstd and psql could not restore."""
    written(store, b"1\tone\n2\ttwo\n", None)
    data, _ = store.get(NAME, soon())
    assert zstandard.ZstdDecompressor().decompressobj().decompress(data) == b"1\tone\n2\ttwo\n"


def test_an_exception_leaves_no_object(store: FolderStore, cipher: PointCipher | None) -> None:
    """A backup that failed half-way would leave half a table behind."""

    def half() -> None:
        with part_writer(store, NAME, cipher, soon()) as writer:
            writer.write(bytes(3 << 20))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    with pytest.raises(Missing):
        store.stat(NAME, soon())


def detected(objects: dict[str, bytes], entry: ObjectEntry, cipher: PointCipher | None) -> bool:
    try:
        check_object(Bytes(objects), entry, cipher, soon())
    except (Corrupt, AccessDenied):
        return True
    return False


def test_every_changed_byte_of_a_small_object_is_found(
    store: FolderStore, cipher: PointCipher | None
) -> None:
    """A damaged backup would be restored as if it were whole."""
    entry = written(store, b"1\tone\n2\ttwo\n", cipher)
    data, _ = store.get(NAME, soon())
    assert not detected({NAME: data}, entry, cipher)
    chance = random.Random(1)
    for offset in range(len(data)):
        changed = bytearray(data)
        changed[offset] ^= chance.randrange(1, 256)
        assert detected({NAME: bytes(changed)}, entry, cipher), f"byte {offset} of {len(data)}"


def test_random_changed_bytes_of_a_big_object_are_found(
    store: FolderStore, keys: KeyFile, *, full: bool
) -> None:
    """As above, where an object has many chunks."""
    cipher = PointCipher(keys, POINT)
    chance = random.Random(2)
    entry = written(store, chance.randbytes(4 * CHUNK_BYTES), cipher)
    data = bytearray(store.get(NAME, soon())[0])
    for _ in range(1000 if full else 60):
        offset, change = chance.randrange(len(data)), chance.randrange(1, 256)
        data[offset] ^= change
        assert detected({NAME: data}, entry, cipher), f"byte {offset}"
        data[offset] ^= change
    assert not detected({NAME: data}, entry, cipher)


def test_a_cut_object_is_found_at_every_length(store: FolderStore, cipher: PointCipher | None) -> None:
    """An upload that ended early would pass for a small table."""
    entry = written(store, random.Random(3).randbytes(2 * CHUNK_BYTES), cipher)
    data, _ = store.get(NAME, soon())
    boundaries = {0, 1, CHUNK_BYTES, CHUNK_BYTES + 16, len(data) - 1, len(data) - 16, len(data) - 17}
    for length in boundaries:
        assert detected({NAME: data[:length]}, entry, cipher), f"cut at {length}"
    assert detected({NAME: data + b"\0"}, entry, cipher)


def rehashed(entry: ObjectEntry, data: bytes) -> ObjectEntry:
    """The entry as a forger of the manifest would write it."""
    return msgspec.structs.replace(entry, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def test_the_cipher_alone_finds_cuts_and_moves(store: FolderStore, keys: KeyFile) -> None:
    """Somebody who can write to the bucket, record included, could cut or reorder a table."""
    cipher = PointCipher(keys, POINT)
    entry = written(store, random.Random(4).randbytes(3 * CHUNK_BYTES), cipher)
    data, _ = store.get(NAME, soon())
    start = data.index(b"\n") + 1
    step = CHUNK_BYTES + 16
    chunks = [data[start + at : start + at + step] for at in range(0, len(data) - start, step)]
    head = data[:start]
    forged = {
        "a chunk cut off": head + b"".join(chunks[:-1]),
        "two chunks swapped": head + chunks[1] + chunks[0] + b"".join(chunks[2:]),
        "a chunk twice": head + chunks[0] + b"".join(chunks),
        "a chunk left out": head + b"".join(chunks[1:]),
        "nothing but the header": head,
    }
    for what, bytes_ in forged.items():
        assert detected({NAME: bytes_}, rehashed(entry, bytes_), cipher), what
        with pytest.raises(Corrupt, match="changed, cut, moved or swapped"):
            list(cipher.decrypted(NAME, io.BytesIO(bytes_).read, soon()))
    assert list(cipher.decrypted(NAME, io.BytesIO(data).read, soon()))


def test_an_object_of_another_name_or_point_does_not_open(store: FolderStore, keys: KeyFile) -> None:
    """Last year's table, put in the place of today's, would be restored."""
    swapped = object_name(OTHER, "neon", "a1", "t/public.answers")
    entry = written(store, b"old rows\n", PointCipher(keys, OTHER), swapped)
    data, _ = store.get(swapped, soon())
    forged = msgspec.structs.replace(entry, name=NAME)
    with pytest.raises(Corrupt, match=r"belongs to another recovery point"):
        check_object(Bytes({NAME: data}), forged, PointCipher(keys, POINT), soon())
    sibling = object_name(POINT, "neon", "a1", "t/public.spend")
    entry = written(store, b"rows\n", PointCipher(keys, POINT), sibling)
    data, _ = store.get(sibling, soon())
    forged = msgspec.structs.replace(entry, name=NAME)
    with pytest.raises(Corrupt, match="swapped"):
        check_object(Bytes({NAME: data}), forged, PointCipher(keys, POINT), soon())


def test_a_wrong_key_is_named(store: FolderStore, keys: KeyFile, tmp_path: Path) -> None:
    """An operator could not tell a wrong key from a damaged backup."""
    entry = written(store, b"rows\n", PointCipher(keys, POINT))
    make_key_file(tmp_path / "other")
    other = KeyFile(tmp_path / "other")
    with pytest.raises(AccessDenied, match=f"{keys.key_id}.*{other.key_id}"):
        read(store, entry, PointCipher(other, POINT))
    with pytest.raises(AccessDenied, match="LECTERN_BACKUP_KEY_FILE"):
        read(store, entry, None)


def test_an_earlier_key_still_reads(store: FolderStore, tmp_path: Path) -> None:
    """A new key would make every older point unreadable."""
    make_key_file(tmp_path / "old")
    entry = written(store, b"rows\n", PointCipher(KeyFile(tmp_path / "old"), POINT))
    make_key_file(tmp_path / "new")
    with (tmp_path / "new").open("ab") as file:
        file.write((tmp_path / "old").read_bytes())
    both = KeyFile(tmp_path / "new")
    assert both.key_id != entry.key_id
    assert read(store, entry, PointCipher(both, POINT)) == b"rows\n"


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (b"", 0o600, "holds no key"),
        (b"c2hvcnQ=\n", 0o600, "line 1: not 32 bytes"),
        (b"A" * 43 + b"=\n", 0o640, "open to others; run: chmod 600"),
        (b"\xff\xfe", 0o600, "line 1: not 32 bytes"),
    ],
)
def test_a_bad_key_file_is_refused(tmp_path: Path, content: bytes, mode: int, problem: str) -> None:
    """A key that others can read, or that is none, would be found out at the restore."""
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(SettingsError, match=problem):
        KeyFile(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        KeyFile(tmp_path / "none")
    with pytest.raises(SettingsError, match="cannot be made"):
        make_key_file(path)


def record_of(entry: ObjectEntry | None = None, version: int = 7) -> PartRecord:
    return PartRecord(
        part="neon",
        point=POINT,
        attempt=f"a{version}",
        ledger_version=version,
        snapshot_at=NOON,
        finished_at=NOON,
        objects=(entry,) if entry else (),
        details={"tables": ["ü"], "rows": 3},
    )


def manifest_of(record: PartRecord) -> Manifest:
    return Manifest(
        format=FORMAT,
        id=POINT,
        committed_at=NOON,
        ledger_version=7,
        parts={"neon": record},
        code_revision="abc",
    )


@pytest.mark.parametrize("kind", ["record", "manifest"])
def test_every_changed_byte_of_a_record_is_found(
    store: FolderStore, cipher: PointCipher | None, kind: str
) -> None:
    """A flipped bit in the list of tables would restore fewer of them and call it whole."""
    value = record_of(written(store, b"rows\n", cipher))
    whole = value if kind == "record" else manifest_of(value)
    data = sealed.encode(whole, cipher, soon())
    assert sealed.decode("it", data, type(whole), cipher, soon()) == whole
    for offset in range(len(data)):
        for change in (1, 0x20, 0x80):
            changed = bytearray(data)
            changed[offset] ^= change
            with pytest.raises((Corrupt, AccessDenied)):
                sealed.decode("it", bytes(changed), type(whole), cipher, soon())
    for tail in (b"\n", b" ", b"{}"):
        with pytest.raises(Corrupt):
            sealed.decode("it", data + tail, type(whole), cipher, soon())


def test_a_forged_manifest_does_not_pass_with_a_key(store: FolderStore, keys: KeyFile) -> None:
    """Somebody who can write to the bucket could take a table off the list."""
    cipher = PointCipher(keys, POINT)
    record = record_of(written(store, b"rows\n", cipher))
    forged = sealed.encode(manifest_of(record), None, soon())
    store.put(manifest_name(POINT), forged, soon())
    assert sealed.read_manifest(store, POINT, None, soon()).parts["neon"] == record
    with pytest.raises(Corrupt, match="seal is missing"):
        sealed.read_manifest(store, POINT, cipher, soon())


@pytest.mark.parametrize("kind", ["record", "manifest"])
def test_what_says_that_it_needs_no_seal_does_not_pass_with_a_key(
    store: FolderStore, keys: KeyFile, kind: str
) -> None:
    """Somebody who can write to the bucket would put a whole point there, not encrypted, and be believed."""
    record = record_of(written(store, b"DROP TABLE\n", None))
    sealed.write_record(store, record, PointCipher(keys, POINT) if kind == "manifest" else None, soon())
    seal = PointCipher(keys, POINT) if kind == "record" else None
    store.put(manifest_name(POINT), sealed.encode(manifest_of(record), seal, soon()), soon())
    with pytest.raises(Corrupt, match=f"{kind if kind == 'manifest' else 'part'}.json: its seal is missing"):
        sealed.read_manifest(store, POINT, PointCipher(keys, POINT), soon())
    asked = PointCipher(keys, POINT, unsealed=True)
    assert sealed.read_manifest(store, POINT, asked, soon()).parts["neon"] == record


def test_to_take_what_has_no_seal_is_not_to_take_what_lost_it(store: FolderStore, keys: KeyFile) -> None:
    """An operator who reads old points would be open to changes in the new ones."""
    record = record_of(written(store, b"rows\n", PointCipher(keys, POINT)))
    store.put(manifest_name(POINT), sealed.encode(manifest_of(record), None, soon()), soon())
    with pytest.raises(Corrupt, match="seal is missing"):
        sealed.read_manifest(store, POINT, PointCipher(keys, POINT, unsealed=True), soon())


def test_records_are_written_once_and_read_back(store: FolderStore, cipher: PointCipher | None) -> None:
    """A second run would replace the record that a manifest is about to name."""
    for version in (10, 9):
        sealed.write_record(store, record_of(version=version), cipher, soon())
    with pytest.raises(PreconditionFailed):
        sealed.write_record(store, record_of(version=9), cipher, soon())
    found = sealed.records(store, POINT, "neon", cipher, soon())
    assert [record.ledger_version for record in found] == [9, 10]
    data, _ = store.get(record_name(POINT, "neon", "a9"), soon())
    store.put(record_name(POINT, "neon", "a11"), data, soon())
    with pytest.raises(Corrupt, match="record of another part"):
        sealed.records(store, POINT, "neon", cipher, soon())


def test_a_manifest_in_the_wrong_place_is_found(store: FolderStore) -> None:
    """An old manifest copied over a new one would restore the old state under the new name."""
    data = sealed.encode(manifest_of(record_of()), None, soon())
    store.put(manifest_name(OTHER), data, soon())
    store.put(record_name(POINT, "neon", "a7"), data, soon())
    assert list(sealed.committed_points(store, soon())) == [OTHER]
    with pytest.raises(Corrupt, match=f"manifest of {POINT}"):
        sealed.read_manifest(store, OTHER, None, soon())
    with pytest.raises(Missing, match="no recovery point"):
        sealed.read_manifest(store, POINT, None, soon())


def test_a_newer_format_is_refused_by_name(store: FolderStore) -> None:
    """An old release would read half of a newer point and think it whole."""
    newer = msgspec.structs.replace(manifest_of(record_of()), format=FORMAT + 1)
    store.put(manifest_name(POINT), sealed.encode(newer, None, soon()), soon())
    with pytest.raises(DependencyError, match=r"format 2, this release reads up to 1.*abc"):
        sealed.read_manifest(store, POINT, None, soon())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260131T030000Z", POINT),
        ("2026-01-31T03:00:00Z", POINT),
        ("2026-01-31T03:00:00.123456Z", POINT),
        ("2026-01-31T04:00:00+01:00", POINT),
    ],
)
def test_both_functions_name_a_point_alike(text: str, expected: str) -> None:
    """The two parts of one schedule would land in two points."""
    assert read_point_id(text) == expected
    assert point_id(datetime(2026, 1, 31, 3, tzinfo=UTC)) == POINT


@pytest.mark.parametrize("text", ["", "../x", "20261341T030000Z", "yesterday", "2026-01-31T03:00:00", "2026"])
def test_what_names_no_point_is_refused(text: str) -> None:
    """A typing error would become a folder of its own in the bucket."""
    with pytest.raises(RequestError, match="does not name a recovery point"):
        read_point_id(text)


def test_details_that_do_not_fit_are_named() -> None:
    """A point of another release would fail with a Python error."""
    with pytest.raises(Corrupt, match="part neon of 20260131T030000Z is not understood"):
        record_of().facts(dict[str, int])
    assert record_of().facts(dict[str, object])["rows"] == 3
