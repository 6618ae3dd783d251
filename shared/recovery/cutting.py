"""Cutting parts of a recovery point: under a backup lease, at one version of the ledger, again if needed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared.errors import DependencyError, PreconditionFailed
from shared.ports import Holding, Leases, LedgerClock, ObjectStore
from shared.recovery import commit, sealed
from shared.recovery.commit import Outcome, Provenance
from shared.recovery.crypto import PointCipher
from shared.recovery.point import SERVICE, PartName, PartRecord
from shared.resilience.deadline import Deadline

TRIES = 3
"""How often a part is cut before the run gives up: the ledger was written to each time, past the lease."""

Say = Callable[[str], object]
Export = Callable[[str, str, Deadline], PartRecord]
"""(point, attempt, deadline) -> the record of a part whose objects are all written; its ``ledger_version`` is
the one that the export saw. ``attempt`` is a new name; an export that goes on with an earlier attempt keeps
that one's name."""


def new_attempt() -> str:
    """A name that no other attempt has."""
    return f"a-{secrets.token_hex(6)}"


@dataclass(frozen=True, slots=True)
class Cutting:
    """Cuts parts of the recovery point ``point``.

    ``wait_seconds`` of the deadline may pass waiting for an ingestion to end. ``say`` is told what is waited
    for and what is done again. ``now`` gives the time in UTC.
    """

    store: ObjectStore
    leases: Leases
    ledger: LedgerClock
    point: str
    cipher: PointCipher | None
    provenance: Provenance = field(default_factory=Provenance)
    wait_seconds: float = 600.0
    say: Say = lambda _line: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def part(self, part: PartName, export: Export, deadline: Deadline) -> Outcome:
        """Cut one part and commit the point if the other is there. A part that was cut before, at the version
        that the ledger still has, is not cut again.

        Errors: PreconditionFailed (an ingestion did not end in time, or the ledger is written to all the
        time), those of ``export``, of the store, the key and the database.
        """
        return self.parts({part: export}, deadline)

    def parts(
        self,
        exports: dict[PartName, Export],
        deadline: Deadline,
        optional: Collection[PartName] = (),
    ) -> Outcome:
        """Cut several parts under one lease, so that an ingestion cannot come between them. What fails of the
        ``optional`` ones is said, and the point is made without it.
        """
        if manifest := commit.committed(self.store, self.point, deadline):
            return Outcome("committed", f"recovery point {self.point} is whole", manifest)
        holder = f"backup {self.point} {'+'.join(exports)}"
        for _ in range(TRIES):
            with self.leases.hold(
                "backup", holder, deadline, wait_seconds=self.wait_seconds, waiting=self._waiting
            ) as holding:
                done = all(
                    self._tried(part, export, holding, deadline)
                    if part in optional
                    else self._cut(part, export, holding, deadline)
                    for part, export in exports.items()
                )
            outcome = self.settle(deadline)
            if done and outcome.needs not in exports:
                return outcome
        raise PreconditionFailed(
            SERVICE,
            f"cut {self.point}",
            f"the ledger was written to during each of {TRIES} tries",
            hint="Let the ingestion end, then run the backup again with the same --point.",
        )

    def settle(self, deadline: Deadline) -> Outcome:
        """Commit the point if its parts are there and belong together."""
        return commit.settle(
            self.store, self.point, self.cipher, deadline, now=self.now(), provenance=self.provenance
        )

    def _tried(self, part: PartName, export: Export, holding: Holding, deadline: Deadline) -> bool:
        try:
            return self._cut(part, export, holding, deadline)
        except DependencyError as error:
            self.say(f"part {part} is left out: {error}")
            return True

    def _cut(self, part: PartName, export: Export, holding: Holding, deadline: Deadline) -> bool:
        """Whether the part is there, at the version that the ledger has."""
        version = self.ledger.version(deadline)
        known = commit.whole_records(self.store, self.point, part, deadline)
        if any(record.ledger_version == version for record in known):
            self.say(f"part {part} was cut before at version {version} of the ledger")
            return True
        record = export(self.point, new_attempt(), deadline)
        after = self.ledger.version(deadline)
        if record.ledger_version != after:
            self.say(f"the ledger was written to while part {part} was cut")
            return False
        try:
            # A lease that was lost lets an ingestion write vectors before it writes to the ledger.
            holding.check(deadline)
        except PreconditionFailed as error:
            self.say(str(error))
            return False
        sealed.write_record(self.store, record, self.cipher, deadline)
        return True

    def _waiting(self, who: str) -> None:
        self.say(f"waiting for {who}")
