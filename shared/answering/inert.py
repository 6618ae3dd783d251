# ruff: noqa: RUF001 - marks of other scripts are meant
"""Text of a language model made harmless: no link but a citation's, no image, no HTML, nothing invisible.

What a page shows as code is left as it is, because code is not rendered; so code is recognised narrowly, and
every backtick that does not belong to it goes. Otherwise a stray one could turn what we took for code into
live Markdown.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from html import unescape
from urllib.parse import urlsplit

_LISTING = re.compile(
    r"\A\s*(?P<fence>`{3,}|~{3,})(?P<language>[^\n]*)\n(?P<code>.*?)(?:\n|(?<=\n))[ \t]*"
    r"(?P=fence)[`~]*[ \t]*"
    r"(?P<rest>(?:\n|\Z).*)\Z",
    re.DOTALL,
)
_SPAN = re.compile(r"(?<!`)(?P<run>`+)(?!`)(?P<code>(?:(?!\n\s*\n).)+?)(?<!`)(?P=run)(?!`)", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\[\]]*\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\])")
_LINK = re.compile(r"\[([^\[\]]*)\]\((?:[^()]|\([^()]*\))*\)")
_PLAIN_TAG = re.compile(r"</?([A-Z][\w.]*)\s*/?>")
_TAG = re.compile(r"<!--.*?(?:-->|\Z)|<[a-zA-Z/!?][^<>]*>", re.DOTALL)
_ADDRESS = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:\s*//|(?:javascript|vbscript|data|mailto|tel|file|blob):(?=\S)|www\.)[^\s<>\"'”’)\]】]*"
    r"|(?<![\w./@-])[\w.+-]+@(?:[\w-]+\.)+[a-z]{2,}"
    r"|(?<![\w./@-])(?://)?(?:[\w-]+\.)+(?:(?:com|org|example|info|biz|xyz|ru|cn)(?![\w.])|[a-z]{2,}(?=[/?][\w?#]))"
    r"[^\s<>\"'”’)\]】]*",
    re.IGNORECASE,
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - read, not bound
_KEPT_INVISIBLE = frozenset("\u200c\u200d\n\t")  # joiners that Persian and Hindi are written with


def listing(piece: str) -> tuple[str, str, str] | None:
    """Language, code and what follows, when the piece is a fenced listing."""
    found = _LISTING.match(piece)
    if found is None:
        return None
    language = re.sub(r"[^\w+#-].*", "", found["language"].strip(), flags=re.DOTALL)
    return language, found["code"], found["rest"]


def fenced(language: str, code: str) -> str:
    """A listing in a fence that its code cannot close."""
    fence = "```"
    while fence in code:
        fence += "`"
    return f"{fence}{language}\n{code}\n{fence}"


def parts(text: str) -> Iterator[tuple[str, bool]]:
    """The text in parts, each with whether it is a code span."""
    at = 0
    for span in _SPAN.finditer(text):
        yield text[at : span.start()], False
        yield span.group(), True
        at = span.end()
    yield text[at:], False


def visible(text: str) -> str:
    """Without control characters, direction overrides, tags and other marks that nobody sees."""
    text = re.sub("\r\n?|[\u0085\u2028\u2029]", "\n", text)
    return "".join(one for one in text if one in _KEPT_INVISIBLE or unicodedata.category(one) not in _HIDDEN)


_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})


def harmless(text: str) -> str:
    """The text with links unwrapped, images and HTML removed and stray backticks dropped."""
    return "".join(part if is_code else _harmless_prose(part) for part, is_code in parts(visible(text)))


def addresses(text: str, own_hosts: Collection[str]) -> list[str]:
    """Addresses outside code that do not lead to one of our hosts or to this machine."""
    prose = unicodedata.normalize("NFKC", " ".join(part for part, is_code in parts(text) if not is_code))
    return [found.group() for found in _ADDRESS.finditer(prose) if not _is_own(found.group(), own_hosts)]


def host(url: str) -> str:
    """The host of an address, lower case; empty when it has none or cannot be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _harmless_prose(text: str) -> str:
    text = _decoded(text).replace("`", "")
    before = None
    while text != before:  # what is taken away may lay bare another link
        before = text
        text = _LINK.sub(r"\1", _IMAGE.sub("", text))
        text = _TAG.sub(_component, text)
    text = re.sub(r"<+(?=[a-zA-Z/!?])", "", text)
    text = re.sub(r"!+\[", "[", text).replace("](", "] (").replace("]:", "] :")
    text = text.rstrip("\\")  # would take the next code span's backtick away
    return re.sub("\x00(.*?)\x01", r"`<\1>`", text)


def _decoded(text: str) -> str:
    """Entities as what they stand for, also those that were encoded twice."""
    before = None
    while text != before:
        before, text = text, visible(unescape(text))
    return text


def _component(tag: re.Match[str]) -> str:
    """A component's bare name is what documentation speaks of: it becomes code. Other tags go.

    NUL and SOH, which no visible text holds, stand for the backticks until the prose is done.
    """
    return f"\x00{tag[0][1:-1]}\x01" if _PLAIN_TAG.fullmatch(tag[0]) else ""


def _is_own(address: str, own_hosts: Collection[str]) -> bool:
    if "\\" in address:
        return False
    if "@" in address and "//" not in address:
        return address.rpartition("@")[2].lower() in own_hosts
    named = host(address if "//" in address else f"//{address}")
    scheme = address.partition("://")[0].lower() if "://" in address else "https"
    return scheme in {"http", "https"} and (named in _LOOPBACK or named in own_hosts)
