"""What a drill found out, as it is stored beside the point and in Postgres."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from shared.errors import Corrupt
from shared.recovery.golden import Comparison
from shared.recovery.point import SERVICE


class DrillReport(msgspec.Struct, frozen=True, kw_only=True):
    """One rehearsal of a restore.

    ``phases`` are seconds by name. ``rehearsed_restore_seconds`` is the time from an empty room to verified
    data, on the machine of the drill: a rehearsal, not the RTO of production. ``room`` is ``sealed`` (the
    embedded stack, without network) or ``configured`` (the targets of a full drill). ``problems`` is empty
    when it passed; it can pass with ``warnings``. ``damage`` says that the point itself is not what was
    written: other failures are those of the room, and leave a verification of the point as it is.
    """

    point: str
    started_at: datetime
    passed: bool
    room: Literal["sealed", "configured"]
    rehearsed_restore_seconds: float
    phases: dict[str, float]
    rows: int
    points: int
    bytes: int
    golden: Comparison
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    point_age_seconds: float = 0.0
    machine: dict[str, float] = {}
    code_revision: str = ""
    damage: bool = False

    @property
    def word(self) -> str:
        """How it ended, as its mark beside the point says it."""
        return "passed" if self.passed else "broken" if self.damage else "failed"


def read_report(name: str, data: bytes) -> DrillReport:
    """A stored report. Raises :class:`~shared.errors.Corrupt`."""
    try:
        return msgspec.json.decode(data, type=DrillReport)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(
            SERVICE, "read", f"{name} is not understood: {error}", hint="Run a new drill."
        ) from error
