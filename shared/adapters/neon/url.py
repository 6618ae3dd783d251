"""DATABASE_URL, read strictly: what is not understood is refused by name, and no secret is repeated.

The form is libpq's connection URI,
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from shared.errors import SettingsError

KNOWN = (
    "application_name",
    "channel_binding",
    "connect_timeout",
    "host",
    "port",
    "sslmode",
    "sslrootcert",
)
_VERIFIED = ("require", "verify-ca", "verify-full")
_POOLER = "-pooler"
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where the database is and how it is entered.

    Either ``socket_folder`` is set (a unix socket, no TLS) or ``host``. ``tls`` is True but for
    a loopback address with ``sslmode=disable``; it always verifies certificate and host name,
    against ``root_certificate`` or the system's. ``connect_timeout`` is in seconds, for one try.
    """

    user: str
    password: str | None = field(repr=False)
    host: str
    port: int
    database: str
    socket_folder: Path | None = None
    tls: bool = True
    root_certificate: Path | None = None
    channel_binding: bool = False
    connect_timeout: float = 10.0
    application_name: str = "lectern"

    @property
    def place(self) -> str:
        """The address for messages, without user or password."""
        return f"{self.socket_folder or self.host}:{self.port}/{self.database}"

    @property
    def is_pooled(self) -> bool:
        """Whether this is Neon's pooled endpoint: transactions of many clients share its servers."""
        return self.host.split(".", 1)[0].endswith(_POOLER)

    @property
    def direct_host(self) -> str:
        """The host that reaches the database without the pooler: for exports and long sessions."""
        if not self.is_pooled:
            return self.host
        name, _, rest = self.host.partition(".")
        return ".".join(part for part in (name.removesuffix(_POOLER), rest) if part)

    def direct(self) -> DatabaseUrl:
        """The same database through its direct endpoint."""
        return replace(self, host=self.direct_host)


def parse(text: str, name: str = "DATABASE_URL") -> DatabaseUrl:
    """The parts of ``text``; ``name`` is the setting it came from.

    Raises :class:`~shared.errors.SettingsError` with every problem found.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        # Its words repeat pieces of the address, which may be pieces of the password.
        raise SettingsError(
            [f"{name}: it cannot be read; write @ : / ? # % in user or password as %40 %3A %2F %3F %23 %25"]
        ) from None
    options, problems = _options(parts)
    problems += _structure(parts)
    url = _build(parts, port, options, problems)
    if problems:
        raise SettingsError([f"{name}: {problem}" for problem in problems])
    return url


def _structure(parts: SplitResult) -> list[str]:
    problems = []
    if parts.scheme not in ("postgres", "postgresql"):
        problems.append("it must begin with postgresql://")
    if not parts.username:
        problems.append("the user is missing: postgresql://USER:PASSWORD@HOST/DATABASE")
    if len(unquote(parts.path)) < 2 or "/" in parts.path[1:]:  # noqa: PLR2004 - a slash and a letter
        problems.append("one database name must follow the host: postgresql://USER:PASSWORD@HOST/DATABASE")
    if parts.fragment:
        problems.append("a # must be written as %23")
    if _BROKEN_ESCAPE.search(parts.netloc + parts.path):
        problems.append("a % must be written as %25")
    return problems


def _options(parts: SplitResult) -> tuple[dict[str, str], list[str]]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    names = [key for key, _ in pairs]
    problems = [f"unknown option {key!r}; known are {', '.join(KNOWN)}" for key in names if key not in KNOWN]
    problems += [f"option {key!r} is given twice" for key in sorted(set(names)) if names.count(key) > 1]
    return dict(pairs), problems


def _build(parts: SplitResult, port: int | None, options: dict[str, str], problems: list[str]) -> DatabaseUrl:
    host = options.get("host") or unquote(parts.hostname or "")
    socket_folder = Path(host) if host.startswith("/") else None
    if not host:
        problems.append("the host is missing; for a unix socket add ?host=/folder/of/the/socket")
    if "," in host:
        problems.append("one host only")
    if parts.hostname and options.get("host"):
        problems.append("the host is given twice, before the database and as an option")
    return DatabaseUrl(
        user=unquote(parts.username or ""),
        password=None if parts.password is None else unquote(parts.password),
        host="" if socket_folder else host,
        port=_port(port, options, problems),
        database=unquote(parts.path[1:]),
        socket_folder=socket_folder,
        tls=socket_folder is None and _tls(host, options, problems),
        root_certificate=_root_certificate(options, problems),
        channel_binding=_channel_binding(options, socket_folder, problems),
        connect_timeout=_seconds(options, problems),
        application_name=options.get("application_name") or "lectern",
    )


def _port(port: int | None, options: dict[str, str], problems: list[str]) -> int:
    text = options.get("port", str(5432 if port is None else port))
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):  # noqa: PLR2004 - 16 bits
        problems.append("option 'port' must be a number from 1 to 65535")
        return 0
    return int(text)


def _tls(host: str, options: dict[str, str], problems: list[str]) -> bool:
    mode = options.get("sslmode", "verify-full")
    if mode == "disable":
        if not _is_loopback(host):
            problems.append("sslmode=disable is for a loopback address alone; use sslmode=verify-full")
        return False
    if mode not in _VERIFIED:
        problems.append(f"option 'sslmode' must be one of disable, {', '.join(_VERIFIED)}")
    return True


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _root_certificate(options: dict[str, str], problems: list[str]) -> Path | None:
    text = options.get("sslrootcert", "system")
    if text == "system":
        return None
    if not Path(text).is_file():
        problems.append("option 'sslrootcert' must name a file with certificates, or be 'system'")
    return Path(text)


def _channel_binding(options: dict[str, str], socket_folder: Path | None, problems: list[str]) -> bool:
    value = options.get("channel_binding", "prefer")
    if value not in ("require", "prefer", "disable"):
        problems.append("option 'channel_binding' must be require, prefer or disable")
    if value == "require" and (socket_folder or options.get("sslmode") == "disable"):
        problems.append("channel_binding=require needs TLS")
    return value == "require"


def _seconds(options: dict[str, str], problems: list[str]) -> float:
    text = options.get("connect_timeout", "10")
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        problems.append("option 'connect_timeout' must be a whole number of seconds, at least 1")
        return 10.0
    return float(text)
