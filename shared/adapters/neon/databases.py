"""Databases of one server, seen from another one of them: made, dropped, renamed."""

from __future__ import annotations

import itertools
import threading

from shared.adapters.neon.faults import SERVICE
from shared.adapters.neon.wire import Wire
from shared.errors import Overloaded, PreconditionFailed, Rejected
from shared.resilience.deadline import Deadline
from shared.sql import identifier, literal

OPERATION = "restore"

_LOCK = 7_243_392
_RUN_LOCK = 7_243_393
_COMMENT = "lectern restore"
_MOST_NAME = 63
_CONNECTIONS = 77
"""Most connections to a database that is being built: a number that hardly anybody else sets."""
_CLAIM_SECONDS = 30.0
_RUN_SECONDS = 2.0
"""A session that says nothing ends as soon as its restore is killed."""
_NO_LOCK = "[55P03]"
_RENAME_PAUSE = 0.2
_IN_USE = "[55006]"


def claim(outside: Wire, name: str, deadline: Deadline) -> None:
    """Be the only restore that builds ``name``, as long as ``outside`` is connected.

    The session of a restore that was killed ends with the statement that it was at: that is waited for.
    """
    if not _locked(outside, _LOCK, name, _CLAIM_SECONDS, deadline):
        raise PreconditionFailed(
            SERVICE,
            OPERATION,
            f"another restore is building {name}",
            hint="Wait until it ends.",
        )


def claim_run(outside: Wire, target: str, deadline: Deadline) -> None:
    """Be the only restore into ``target``, as long as ``outside`` is connected and says nothing else."""
    if _locked(outside, _RUN_LOCK, target, _RUN_SECONDS, deadline):
        return
    sql = (
        "SELECT pid, to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') "  # noqa: S608 - quoted
        "FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted "
        f"AND classid = {_RUN_LOCK} AND objid = (hashtext({literal(target)})::bigint & 4294967295)::oid"
    )
    holders = outside.script(sql, deadline, OPERATION)
    pid, since = holders[0] if holders else ("of it", "a moment ago")
    raise PreconditionFailed(
        SERVICE,
        OPERATION,
        f"another restore into {target} runs since {since} UTC",
        hint=f"Wait until it ends. If its machine is lost, end connection {pid} with pg_terminate_backend.",
    )


def _locked(outside: Wire, lock: int, name: str, seconds: float, deadline: Deadline) -> bool:
    """Whether the lock was free, or became so in time."""
    seconds = min(seconds, deadline.remaining() / 2)
    sql = f"BEGIN; SET LOCAL lock_timeout = {max(1, int(1000 * seconds))}; "
    sql += f"SELECT pg_advisory_lock({lock}, hashtext({literal(name)})); COMMIT"
    try:
        outside.script(sql, deadline, OPERATION)
    except Overloaded as error:
        if _NO_LOCK not in error.detail:
            raise
        outside.script("ROLLBACK", deadline, OPERATION)
        return False
    return True


def drop_leftover(outside: Wire, name: str, deadline: Deadline) -> None:
    sql = (
        "SELECT shobj_description(oid, 'pg_database'), datconnlimit FROM pg_database "  # noqa: S608 - quoted
        f"WHERE datname = {literal(name)}"
    )
    rows = outside.script(sql, deadline, OPERATION)
    if rows and not str(rows[0][0] or "").startswith(_COMMENT) and rows[0][1] != _CONNECTIONS:
        raise PreconditionFailed(
            SERVICE,
            OPERATION,
            f"there is a database {name} that no restore has made",
            hint="Rename it, or drop it if nobody needs it.",
        )
    if rows:
        drop(outside, name, deadline)


def create(outside: Wire, name: str, target: str, mark: str, deadline: Deadline) -> None:
    """An empty database that sorts as the target does."""
    sql = (
        "SELECT datcollate, datctype FROM pg_database "  # noqa: S608 - quoted
        f"WHERE datname = {literal(target)} AND datlocprovider = 'c' AND encoding = 6"
    )
    rows = outside.script(sql, deadline, OPERATION)
    like = f" LC_COLLATE {literal(rows[0][0])} LC_CTYPE {literal(rows[0][1])}" if rows else ""
    made = f"CREATE DATABASE {identifier(name)} TEMPLATE template0 ENCODING 'UTF8'{like}"
    # A comment is a statement of its own: whoever is killed before it leaves a database that this tells.
    made += f" CONNECTION LIMIT {_CONNECTIONS}"
    outside.script(made, deadline, OPERATION)
    comment = literal(f"{_COMMENT}: {mark}")
    outside.script(f"COMMENT ON DATABASE {identifier(name)} IS {comment}", deadline, OPERATION)


def _exists(outside: Wire, name: str, deadline: Deadline) -> bool:
    sql = f"SELECT EXISTS (SELECT FROM pg_database WHERE datname = {literal(name)})"  # noqa: S608 - quoted
    return bool(outside.script(sql, deadline, OPERATION)[0][0])


def _end_sessions(*names: str) -> str:
    listed = ", ".join(literal(name) for name in names)
    return (
        "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity "  # noqa: S608 - quoted
        f"WHERE datname IN ({listed}) AND pid <> pg_backend_pid()"
    )


def take_name(outside: Wire, name: str, target: str, kept: str, deadline: Deadline) -> bool:
    """Rename ``target`` to ``kept`` and ``name`` to ``target``, both or neither; whether ``target`` existed.

    Whoever is connected to either is sent away: their next query connects to the new one.
    """
    there = _exists(outside, target, deadline)
    final = identifier(target)
    away = f"ALTER DATABASE {final} RENAME TO {identifier(kept)}; " if there else ""
    here = f"ALTER DATABASE {identifier(name)} RENAME TO {final}; COMMENT ON DATABASE {final} IS NULL; "
    here += f"ALTER DATABASE {final} CONNECTION LIMIT -1"
    while True:
        outside.script(_end_sessions(target, name), deadline, OPERATION)
        try:
            outside.script(f"BEGIN; {away}{here}; COMMIT", deadline, OPERATION)
        except Rejected as error:
            outside.script("ROLLBACK", deadline, OPERATION)
            # Somebody has connected again in between.
            if _IN_USE not in error.detail or deadline.remaining() < 2 * _RENAME_PAUSE:
                raise
            threading.Event().wait(_RENAME_PAUSE)
        else:
            return there


def drop(outside: Wire, name: str, deadline: Deadline) -> None:
    """Drop a database, whoever is connected to it."""
    outside.script(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)", deadline, OPERATION)


def free_name(outside: Wire, name: str, tail: str, deadline: Deadline) -> str:
    """``name_tail``, numbered when a database has that name."""
    tails = itertools.chain([f"_{tail}"], (f"_{tail}_{number}" for number in itertools.count(2)))
    names = (shortened(name, each) for each in tails)
    return next(each for each in names if not _exists(outside, each, deadline))


def shortened(name: str, tail: str) -> str:
    """``name`` and ``tail`` within what Postgres keeps of a name."""
    kept = name.encode()[: _MOST_NAME - len(tail.encode())]
    return kept.decode("utf-8", "ignore") + tail
