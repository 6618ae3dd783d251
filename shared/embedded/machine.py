"""What this machine, or the container that we are in, has left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def free_memory() -> int:
    """Bytes of memory that can still be taken: the least of what the machine has and the container may use.

    Sources: ``MemAvailable`` of proc(5); memory.max and memory.current of cgroups (version 2, then 1).
    """
    left = [_available()]
    for most, current in _CGROUPS:
        limit, used = _number(Path(most)), _number(Path(current))
        if limit is not None and used is not None:
            left.append(max(0, limit - used))
            break
    return min(left)


def free_disk(folder: Path) -> int:
    """Bytes left on the disk of ``folder``."""
    return shutil.disk_usage(folder).free


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" is no limit
        return None
