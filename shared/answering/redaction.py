"""Personal data and secrets taken out of what is stored: e-mail addresses, telephone and other long numbers,
tokens and keys.

Deliberately narrow: versions, ports, addresses of machines and hashes of a few characters are what questions
are about, and stay.
"""

from __future__ import annotations

import re

EMAIL, PHONE, NUMBER, SECRET = "[email]", "[phone]", "[number]", "[secret]"

_EMAIL = re.compile(r"[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_SECRETS = (
    re.compile(r"-----BEGIN [A-Z ]{1,30}-----.*?(?:-----END [A-Z ]{1,30}-----|\Z)", re.DOTALL),
    # A JSON web token, and the well-known forms of keys.
    re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]+){0,2}"),
    re.compile(r"\b(?:sk|pk|rk|lk|ghp|gho|ghs|ghu|glpat|xox[abprs]|github_pat|npg|hf)[-_][\w-]{16,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b|\bAIza[\w-]{20,}"),
)
# What stands behind these words, whatever it looks like; the words themselves stay.
_NAMED = re.compile(
    r"(?i)\b(bearer\s+|(?:password|passwd|pwd|secret|token|api[_-]?key)\s*[=:]\s*)(?!\[)([^\s\"',;]{6,})"
)
_USER_INFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s/@\[\]]{1,200}@")
# 32 and more letters and digits in one piece, both kinds among them: keys, digests.
_OPAQUE = re.compile(r"\b(?=[A-Za-z0-9_-]*\d)(?=[A-Za-z0-9_-]*[A-Za-z])[A-Za-z0-9]{32,}[\w-]*")
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
    text = _OPAQUE.sub(SECRET, text)
    text = _PHONE.sub(PHONE, text)
    return _NUMBER.sub(NUMBER, text)
