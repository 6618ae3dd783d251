"""Mutations of recovery points: cipher, seals, commit, and the database's way there and back."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

_CRYPTO = "shared/recovery/crypto.py"
_COMMIT = "shared/recovery/commit.py"
_FORMAT = ("tests/unit/test_recovery_format.py",)
_PAIRS = ("tests/unit/test_recovery_commit.py",)
_DATABASE = ("tests/contract/neon/test_export_import.py",)
_KEYS = ("tests/contract/test_key_wrapper.py",)

RECOVERY = [
    Mutation(
        "Recovery points: format",
        _CRYPTO,
        'return number.to_bytes(11, "big") + (b"\\x01" if last else b"\\x00")',
        'return number.to_bytes(11, "big") + b"\\x00"',
        "a table that was cut at a chunk passes for a whole one",
        _FORMAT,
        "cuts_and_moves",
    ),
    Mutation(
        "Recovery points: format",
        _CRYPTO,
        'box = AESGCM(_derived(key, _bytes(name, header.salt), b"object"))',
        'box = AESGCM(_derived(key, b"", b"object"))',
        "every object of a run has the same key and the same nonces",
        _FORMAT,
        "comes_back",
    ),
    Mutation(
        "Recovery points: format",
        "shared/recovery/sealed.py",
        '    elif cipher and value.encrypted:\n        raise corrupt(name, "its seal is missing")\n',
        "",
        "a manifest without its seal passes",
        _FORMAT,
        "forged",
    ),
    Mutation(
        "Recovery points: format",
        "shared/recovery/streams.py",
        "        stored.check_end()\n",
        "",
        "a longer object passes",
        _FORMAT,
        "changed or cut",
    ),
    Mutation(
        "Recovery points: commit",
        _COMMIT,
        "        if other := by_version.get(record.ledger_version):\n",
        "        if other := next(iter(by_version.values())):\n",
        "database and vectors of two states are tied together",
        _PAIRS,
        "ingestion_between",
    ),
    Mutation(
        "Recovery points: commit",
        _COMMIT,
        "        store.put(name, data, deadline, if_generation_match=0)\n",
        "        store.put(name, data, deadline)\n",
        "the second of two functions replaces the first one's manifest",
        _PAIRS,
        "finish_together",
    ),
    Mutation(
        "Recovery points: commit",
        "shared/recovery/cutting.py",
        "            holding.check(deadline)\n",
        "            pass\n",
        "what was read under a lost lease becomes a part",
        _PAIRS,
        "lost_lease",
    ),
    Mutation(
        "Neon: export and restore",
        "shared/adapters/neon/copy.py",
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
        "tables are read at different moments",
        _DATABASE,
        "one_moment",
    ),
    Mutation(
        "Neon: export and restore",
        "shared/recovery/neon_restore.py",
        "    if found.sequences != facts.catalog.sequences:\n",
        "    if False:\n",
        "sequences that stand elsewhere pass",
        _DATABASE,
        "what_differs",
    ),
    Mutation(
        "Neon: export and restore",
        "shared/adapters/neon/databases.py",
        '    if rows and not str(rows[0][0] or "").startswith(_COMMENT):\n',
        "    if False:\n",
        "somebody's database is dropped",
        _DATABASE,
        "killed_restore",
    ),
    Mutation(
        "Cloud KMS and key file",
        "shared/adapters/cloud_kms.py",
        '    if str(answer.get(f"{name}Crc32c")) != _checksum(data):\n',
        "    if False:\n",
        "a key that arrived changed encrypts a point that nobody can open",
        _KEYS,
        "arrived_changed",
    ),
    Mutation(
        "Cloud KMS and key file",
        "shared/embedded/key_file.py",
        "    if mode & _OTHERS:\n",
        "    if False:\n",
        "a key that others can read is used",
        _FORMAT,
        "bad_key_file",
    ),
    Mutation(
        "Cloud KMS and key file",
        "shared/adapters/cloud_kms.py",
        "        bound = context.encode()\n",
        '        bound = b""\n',
        "the key of an old point opens in a new one",
        _KEYS,
        "own_point_alone",
    ),
]
