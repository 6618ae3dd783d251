"""Personal data and secrets taken out of what is stored: e-mail addresses, telephone and other long numbers,
tokens and keys.

Deliberately narrow: versions, ports, addresses of machines and hashes of a few characters are what questions
are about, and stay.
"""

from __future__ import annotations

import re

EMAIL, PHONE, NUMBER, SECRET = "[email]", "[phone]", "[number]", "[secret]"

# The last part of a host begins with a letter: package@1.2.3 is no address.
_EMAIL = re.compile(r"[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62}")
_SECRETS = (
    re.compile(r"-----BEGIN [A-Z ]{1,30}-----.*?(?:-----END [A-Z ]{1,30}-----|\Z)", re.DOTALL),
    # A JSON web token, and the well-known forms of keys.
    re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]+){0,2}"),
    re.compile(r"\b(?:sk|pk|rk|lk|ghp|gho|ghs|ghu|glpat|xox[abprs]|github_pat|npg|hf)[-_][\w-]{16,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b|\bAIza[\w-]{20,}"),
)
# What stands behind these words, whatever it looks like; the words themselves stay.
_NAMED = re.compile(
    r"(?i)\b((?:password|passwd|pwd|secret|token|api[_-]?key)\s{0,5}[=:]\s{0,5}|"
    r"bearer\s{1,5}(?=[^\s\"',;]{0,40}[\d._-]))(?!\[)([^\s\"',;]{6,})"
)
_USER_INFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s/@\[\]]{1,200}@")
# Keys and digests: so many letters and digits in one piece, both kinds among them.
_OPAQUE = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{32,}(?:[\w-]*)")
_PHONE = re.compile(
    r"(?<![\w.+])(?:\+|00)\d(?:[ ()./-]{0,2}\d){7,14}(?!\w)|\(\d{2,5}\) ?\d{3,4}[ -]?\d{3,5}\b"
)
_NUMBER = re.compile(r"(?<![\w.])\d(?:[ -]?\d){8,}(?![\w.]\d)")


def redact(text: str) -> str:
    """The text with a word in brackets for each such thing; redacting twice changes nothing."""
    for secret in _SECRETS:
        text = secret.sub(SECRET, text)
    text = _NAMED.sub(lambda found: found[1] + SECRET, text)
    text = _USER_INFO.sub(lambda found: f"{found[1]}{SECRET}@", text)
    text = _EMAIL.sub(EMAIL, text)
    text = _OPAQUE.sub(_unless_a_word, text)
    text = _PHONE.sub(PHONE, text)
    return _NUMBER.sub(NUMBER, text)


def _unless_a_word(found: re.Match[str]) -> str:
    text = found[0]
    has_both = any(map(str.isdigit, text)) and any(map(str.isalpha, text))
    return SECRET if has_both else text
