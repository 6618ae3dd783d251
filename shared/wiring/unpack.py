"""Joins the unpacking of a recovery point's database: files that psql alone restores."""

from __future__ import annotations

from pathlib import Path

from shared.errors import Corrupt, SourceError
from shared.recovery.neon_part import Files, plain_files
from shared.recovery.progress import Meter, Watch, nobody
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.backups import Say, with_bucket
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher
from shared.wiring.verify import chosen

UNPACK_SECONDS = 6 * 3600.0


def unpack(
    settings: Settings, point: str | None, folder: Path, watch: Watch = nobody, say: Say = lambda _line: None
) -> tuple[str, int]:
    """Write the database part of a point (None: the newest) into ``folder``, decrypted and decompressed; the
    point's id and the number of tables.

    Raises SourceError for a folder that is not empty or cannot be written, Corrupt (what was written is then
    taken away again), and what :func:`~shared.wiring.verify.chosen` raises.
    """
    with Parts(with_bucket(settings)) as parts:
        manifest = chosen(parts, point, lambda line: say(f"passed over: {line}"))
        record = manifest.parts["neon"]
        files = Files(parts.point_store, point_cipher(settings, manifest.id))
        meter = Meter("unpack", sum(entry.plain_bytes for entry in record.objects), watch)
        written: list[Path] = []
        try:
            _make(folder)
            for name, blocks in plain_files(record, files, Deadline.after(UNPACK_SECONDS)):
                written.append(folder / name)
                with written[-1].open("xb") as file:
                    for block in meter.counted(blocks):
                        file.write(block)
        except OSError as error:
            raise SourceError(
                f"{folder} cannot be written: {error.strerror}.", hint="Name another folder."
            ) from error
        except Corrupt:
            for path in written:
                path.unlink()
            raise
        meter.end()
    return manifest.id, len(written) - 1


def _make(folder: Path) -> None:
    """A folder that only its owner reads: what readers said will lie in it unencrypted."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SourceError(f"{folder} is not empty.", hint="Name a folder that does not exist yet.")
    (folder / "tables").mkdir(mode=0o700)
