"""DATABASE_URL: every form that Neon prints is read, everything else is refused by name."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.neon.url import parse
from shared.errors import SettingsError

NEON = (
    "postgresql://owner:npg_secret@ep-cool-rain-123456-pooler.eu-central-1.aws.neon.tech/neondb"
    "?sslmode=require&channel_binding=require"
)


def test_the_address_that_neon_prints() -> None:
    """The line copied from Neon's console works as it stands."""
    url = parse(NEON)
    assert (url.user, url.password, url.port, url.database) == ("owner", "npg_secret", 5432, "neondb")
    assert url.tls
    assert url.channel_binding
    assert url.is_pooled
    assert url.direct_host == "ep-cool-rain-123456.eu-central-1.aws.neon.tech"
    assert url.direct().host == url.direct_host
    assert not url.direct().is_pooled
    assert url.direct().direct_host == url.direct_host


def test_defaults_are_the_safe_ones() -> None:
    """Who writes no option gets verified TLS."""
    url = parse("postgres://u:p@db.example/d")
    assert url.tls
    assert url.root_certificate is None
    assert not url.channel_binding
    assert (url.connect_timeout, url.application_name) == (10.0, "lectern")


def test_every_option(tmp_path: Path) -> None:
    """Options that are documented take effect."""
    root = tmp_path / "root.pem"
    root.write_text("")
    url = parse(
        f"postgresql://u:p@db.example:6432/d?sslmode=verify-full&sslrootcert={root}"
        "&connect_timeout=3&application_name=chat&channel_binding=prefer"
    )
    assert (url.port, url.root_certificate, url.connect_timeout) == (6432, root, 3.0)
    assert url.application_name == "chat"


def test_a_socket() -> None:
    """The embedded server's own address is read by the same rules."""
    url = parse("postgresql://lectern@/postgres?host=/tmp/a%20b&port=5433")
    assert url.socket_folder == Path("/tmp/a b")
    assert not url.tls
    assert url.place == "/tmp/a b:5433/postgres"


def test_without_tls_on_loopback_alone() -> None:
    """A local pooler may be used without certificates, a remote one may not."""
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert not parse(f"postgresql://u:p@{host}/d?sslmode=disable").tls
    with pytest.raises(SettingsError, match="loopback"):
        parse("postgresql://u:p@db.example/d?sslmode=disable")


@given(user=st.text(min_size=1), password=st.text(), database=st.from_regex(r"[a-z_]{1,20}", fullmatch=True))
def test_any_escaped_user_and_password(user: str, password: str, database: str) -> None:
    """A generated password with any character in it works once it is escaped."""
    user, password = (text.encode("utf-8", "ignore").decode() for text in (user, password))
    address = f"postgresql://{quote(user or 'u', safe='')}:{quote(password, safe='')}@h/{database}"
    url = parse(address)
    assert (url.user, url.password, url.database) == (user or "u", password, database)
    assert url.host == "h"


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("mysql://u:SECRET@h/d", "must begin with postgresql://"),
        ("", "must begin with postgresql://"),
        ("postgresql://h/d", "user is missing"),
        ("postgresql://u:SECRET@h", "database name"),
        ("postgresql://u:SECRET@h/", "database name"),
        ("postgresql://u:SECRET@h/a/b", "one database name"),
        ("postgresql://u:SECRET@/d", "host is missing"),
        ("postgresql://u:SECRET@h/d?host=other", "given twice"),
        ("postgresql://u:SECRET@a,b/d", "one host only"),
        ("postgresql://u:SECRET@h:99999/d", "cannot be read"),
        ("postgresql://u:SECRET@h:0/d", "port"),
        ("postgresql://u:SEC/RET@h/d", "cannot be read"),
        ("postgresql://u:SEC%RET@h/d", "%25"),
        ("postgresql://u:x@h/d#SECRET", "%23"),
        ("postgresql://u:SECRET@[h/d", "cannot be read"),
        ("postgresql://u:SECRET@h/d?sslmod=require", "'sslmod'"),
        ("postgresql://u:SECRET@h/d?options=SECRET", "'options'"),
        ("postgresql://u:SECRET@h/d?sslmode=prefer", "'sslmode'"),
        ("postgresql://u:SECRET@h/d?sslmode=require&sslmode=disable", "'sslmode' is given twice"),
        ("postgresql://u:SECRET@h/d?channel_binding=yes", "'channel_binding'"),
        ("postgresql://u:SECRET@/d?host=/tmp&channel_binding=require", "needs TLS"),
        ("postgresql://u:SECRET@h/d?connect_timeout=soon", "'connect_timeout'"),
        ("postgresql://u:SECRET@h/d?connect_timeout=0", "'connect_timeout'"),
        ("postgresql://u:SECRET@h/d?sslrootcert=/no/such/file", "'sslrootcert'"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is_told(address: str, problem: str) -> None:
    """Someone with a typing error reads which part is wrong; the log does not learn the password."""
    with pytest.raises(SettingsError) as caught:
        parse(address)
    assert problem in str(caught.value)
    assert "DATABASE_URL" in str(caught.value)
    for shown in (str(caught.value), repr(caught.value.__cause__)):
        assert "SECRET" not in shown
        assert "RET" not in shown


def test_all_problems_at_once() -> None:
    """Nobody fixes a line three times."""
    with pytest.raises(SettingsError) as caught:
        parse("http://h?sslmode=no&x=1")
    assert len(caught.value.problems) == 5


def test_the_password_is_not_in_the_repr() -> None:
    """A traceback or a debug line shows no secret."""
    assert "npg_secret" not in repr(parse(NEON))
    assert "npg_secret" not in parse(NEON).place
