"""Every byte of a small recovery point counts: whichever is changed, it is found before a row is written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from shared.embedded.key_file import make_key_file
from shared.errors import AccessDenied, Corrupt
from shared.objects import CheckedReader
from shared.ports import ObjectInfo
from shared.recovery import sealed
from shared.recovery.crypto import PointCipher
from shared.recovery.point import Manifest, ObjectEntry, PartRecord
from shared.recovery.streams import check_object
from shared.settings import Settings
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher
from tests.local_stack import filled_stack, write_site
from tests.recovery.whole_points import cut
from tests.recovery_points import soon

SITE = {"a.md": "---\ntitle: A\n---\n\n## Kind\n\nOne small page about quinces.\n"}


@pytest.fixture(scope="module", params=["plain", "encrypted"])
def small(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, Manifest, dict[str, bytes]]]:
    """A whole point and the bytes of each of its objects."""
    folder = tmp_path_factory.mktemp("small")
    make_key_file(folder / "key")
    with filled_stack(folder / "home", write_site(folder / "site", SITE)) as ready:
        key = str(folder / "key") if request.param == "encrypted" else ""
        own = replace(ready, backup_bucket=(folder / "points").as_uri(), backup_key_file=key, embedder="none")
        manifest = cut(own)
        with Parts(own) as parts:
            names = [info.name for info in parts.point_store.list(f"points/{manifest.id}/", soon())]
            yield own, manifest, {name: parts.point_store.get(name, soon())[0] for name in names}


class OneObject:
    """A store that has one object, with the bytes of a test and no checksum of its own."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @contextmanager
    def open_read(self, name: str, _deadline: object) -> Iterator[CheckedReader]:
        rest = memoryview(self.data)

        def pull(size: int) -> bytes:
            nonlocal rest
            piece, rest = rest[:size], rest[size:]
            return bytes(piece)

        yield CheckedReader("test", ObjectInfo(name, len(self.data), 1, "", 0.0), pull)


def test_every_changed_byte_of_a_point_is_found(
    small: tuple[Settings, Manifest, dict[str, bytes]], full: bool
) -> None:
    """A damaged point would be restored, and nobody would know what is wrong in it."""
    own, manifest, objects = small
    cipher, chance = point_cipher(own, manifest.id), random.Random(7)
    entries = {entry.name: entry for part in manifest.parts.values() for entry in part.objects}
    for name, data in objects.items():
        if name not in entries and not name.endswith(("part.json", "manifest.json")):
            continue  # what an export leaves for going on after a kill
        offsets = range(len(data)) if full else sorted(chance.sample(range(len(data)), min(40, len(data))))
        for offset in offsets:
            changed = bytearray(data)
            changed[offset] ^= chance.randrange(1, 256)
            with pytest.raises((Corrupt, AccessDenied)):
                read(name, bytes(changed), entries.get(name), cipher)
        read(name, data, entries.get(name), cipher)


def read(name: str, data: bytes, entry: ObjectEntry | None, cipher: PointCipher | None) -> None:
    """What verification does with an object."""
    if entry:
        check_object(OneObject(data), entry, cipher, soon())
    elif name.endswith(("part.json", "manifest.json")):
        sealed.decode(name, data, PartRecord if name.endswith("part.json") else Manifest, cipher, soon())
