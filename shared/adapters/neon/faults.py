"""What went wrong with Postgres, in the words of :mod:`shared.errors`.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from pg8000.exceptions import DatabaseError

from shared import errors
from shared.errors import DependencyError

SERVICE = "neon"

_BY_CODE: dict[str, type[DependencyError]] = {
    "3D000": errors.Missing,
    "40001": errors.Overloaded,
    "40P01": errors.Overloaded,
    "42501": errors.AccessDenied,
    "42P01": errors.Missing,
    "53300": errors.Throttled,
    "55P03": errors.Overloaded,
    "57P01": errors.Unreachable,
    "57P02": errors.Unreachable,
    "57P03": errors.Unreachable,
    "57P05": errors.Unreachable,
}
_BY_CLASS: dict[str, type[DependencyError]] = {
    "08": errors.Unreachable,
    "28": errors.AccessDenied,
    "40": errors.Overloaded,
    "53": errors.Overloaded,
    "58": errors.Overloaded,
    "XX": errors.Overloaded,
}
_HINTS: dict[type[DependencyError], str] = {
    errors.AccessDenied: "Check user, password and sslrootcert in DATABASE_URL.",
    errors.Missing: "Check DATABASE_URL, and that the migrations have run.",
    errors.Throttled: "Use the pooled endpoint (-pooler), or allow fewer instances.",
    errors.Unreachable: "Check DATABASE_URL and the database's status page.",
}

_KEEPS_CONNECTION = ("22", "23", "25", "40", "42", "55", "57014", "3D", "P0", "0A", "21", "53100", "53400")


def translate(error: BaseException, operation: str, place: str) -> DependencyError:
    """Our error for one that pg8000, ssl or the socket raised while doing ``operation`` at ``place``."""
    kind, detail = _classify(error)
    return kind(SERVICE, operation, f"{detail} ({place})", hint=_HINTS.get(kind, ""))


def breaks_connection(error: BaseException) -> bool:
    """Whether the connection is of no use after ``error``: all but a refusal by a healthy server."""
    code = code_of(error)
    return code is None or not code.startswith(_KEEPS_CONNECTION)


def code_of(error: BaseException) -> str | None:
    """The SQLSTATE, when the server itself answered with an error."""
    fields = error.args[0] if isinstance(error, DatabaseError) and error.args else None
    return str(fields.get("C", "")) if isinstance(fields, dict) else None


def _classify(error: BaseException) -> tuple[type[DependencyError], str]:
    code = code_of(error)
    if code is not None:
        return _of_server(code, str(error.args[0].get("M", "no message")))
    for cause in _causes(error):
        found = _of_transport(cause)
        if found:
            return found
    if isinstance(error, UnicodeEncodeError):
        return errors.Rejected, "a text holds half of a surrogate pair"
    if any("network error" in str(cause) or "connection is closed" in str(cause) for cause in _causes(error)):
        return errors.Unreachable, "the connection was cut"
    return errors.Garbled, f"the answer is not Postgres's ({type(error).__name__})"


def _of_server(code: str, message: str) -> tuple[type[DependencyError], str]:
    detail = f"{message} [{code}]"
    if code == "57014":
        return (errors.TimedOut if "timeout" in message else errors.Cancelled), detail
    return _BY_CODE.get(code) or _BY_CLASS.get(code[:2], errors.Rejected), detail


# In this order: the later ones are parents of the earlier.
_TRANSPORT: tuple[tuple[type[BaseException], type[DependencyError], str], ...] = (
    (TimeoutError, errors.TimedOut, "no answer in time"),
    (ssl.SSLCertVerificationError, errors.AccessDenied, "its certificate is not trusted"),
    (ssl.SSLEOFError, errors.Unreachable, "the connection was cut"),
    (ssl.SSLZeroReturnError, errors.Unreachable, "the connection was cut"),
    (ssl.SSLError, errors.Garbled, "its TLS is broken"),
    (socket.gaierror, errors.Unreachable, "no such host"),
    (OSError, errors.Unreachable, "no connection"),
)


def _of_transport(error: BaseException) -> tuple[type[DependencyError], str] | None:
    for raised, kind, words in _TRANSPORT:
        if isinstance(error, raised):
            reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
            return kind, f"{words}: {reason}" if reason else words
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
