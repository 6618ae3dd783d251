"""Who the server runs as, and how it is tied to the process that started it.

Postgres refuses to run as root, so root's server runs as ``nobody``. A home that ``nobody`` cannot
enter (anything below root's own folder) needs one capability on top, CAP_DAC_OVERRIDE, handed over
as an ambient one; see capabilities(7). The server dies with us through PR_SET_PDEATHSIG, prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LINUX = sys.platform == "linux"

_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True, slots=True)
class Account:
    """An account, and whether it may pass folders that are closed to it."""

    uid: int
    gid: int
    passes_closed_folders: bool = False

    def can_enter(self, path: Path) -> bool:
        """Whether ``path`` and every folder above it let this account in."""
        return all(self._allowed(folder) for folder in (path, *path.parents))

    def _allowed(self, path: Path) -> bool:
        facts = path.stat()
        if facts.st_uid == self.uid:
            return bool(facts.st_mode & stat.S_IXUSR)
        if facts.st_gid == self.gid:
            return bool(facts.st_mode & stat.S_IXGRP)
        return bool(facts.st_mode & stat.S_IXOTH)


def server_account(home: Path) -> Account:
    """The account for a server whose files lie in ``home`` (an existing folder)."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    nobody = pwd.getpwnam("nobody")
    account = Account(nobody.pw_uid, nobody.pw_gid)
    if account.can_enter(home.parent) or not LINUX:
        return account
    return Account(nobody.pw_uid, nobody.pw_gid, passes_closed_folders=True)


def give(path: Path, account: Account) -> None:
    """Make ``path`` the account's own."""
    if os.geteuid() == 0:
        os.chown(path, account.uid, account.gid)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def child_setup(account: Account, dies_by: signal.Signals) -> Callable[[], None]:
    """What a new child does before it becomes the server; ``dies_by`` is sent when we die.

    The signal is tied to the thread that spawned the child, so that thread has to outlive it.
    Everything is looked up here, because a forked child of a threaded process must not import.
    """
    libc = ctypes.CDLL(None, use_errno=True) if LINUX else None
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    bit = 1 << _CAP_DAC_OVERRIDE
    sets = (_CapabilitySets * 2)(_CapabilitySets(bit, bit, bit), _CapabilitySets(0, 0, 0))
    parent, drop_root = os.getpid(), os.geteuid() == 0

    def setup() -> None:
        if drop_root:
            os.setgroups([])
            if libc and account.passes_closed_folders:
                libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
            os.setgid(account.gid)
            os.setuid(account.uid)
            if libc and account.passes_closed_folders:
                libc.capset(ctypes.byref(header), ctypes.byref(sets))
                libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)
        if libc:
            # After the change of user, which clears it.
            libc.prctl(_PR_SET_PDEATHSIG, int(dies_by), 0, 0, 0)
            if os.getppid() != parent:  # we died before the call: nobody is left to send it
                os._exit(1)

    return setup
