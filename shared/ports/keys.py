"""The key that data keys of recovery points are wrapped with."""

from __future__ import annotations

from typing import Protocol

from shared.resilience.deadline import Deadline


class KeyWrapper(Protocol):
    """Wraps the keys that recovery points are encrypted with: Cloud KMS, or a key file on this machine.

    ``context`` (the recovery point) is bound to the wrapped key: it opens with the same context alone.

    Errors: ``AccessDenied`` (no right to use the key, or ``key_id`` is not a key that is at hand),
    ``Corrupt`` (the wrapped key was changed, or belongs to another context), ``Unreachable``, ``TimedOut``,
    ``Throttled``, ``Overloaded``, ``Garbled``.
    """

    @property
    def key_id(self) -> str:
        """Which key wraps now; its name is not secret."""
        ...

    def wrap(self, data_key: bytes, context: str, deadline: Deadline) -> bytes:
        """``data_key`` (32 bytes), encrypted."""
        ...

    def unwrap(self, wrapped: bytes, key_id: str, context: str, deadline: Deadline) -> bytes:
        """What :meth:`wrap` was given, when ``key_id`` wrapped it."""
        ...
