"""A folder in memory where there is one, for servers and buckets whose disk is not what is tested."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder that any account may enter, and that is gone afterwards."""
    base = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="lectern-test-", dir=base) as name:
        Path(name).chmod(0o755)
        yield Path(name)
