"""Which web pages may read the answers: an allow-list of origins.

Source: the Fetch standard, "CORS protocol". Credentials are never allowed: the API knows no cookies. The list
stops browsers only; it is no access control.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_EXPOSED = "retry-after, x-request-id"
_ALLOWED_HEADERS = "accept, authorization, content-type, traceparent, x-api-key, x-request-id"
_MAX_AGE = "7200"  # seconds; the longest that Chromium honours


@dataclass(frozen=True, slots=True)
class Cors:
    """``origins`` are exact, as a browser writes them: ``https://docs.example.com``, no path, no slash.

    Without origins no CORS header is ever sent.
    """

    origins: frozenset[str] = frozenset()

    def headers(self, request_headers: Mapping[str, str]) -> dict[str, str]:
        """Headers for every answer; ``request_headers`` has lower-case names."""
        if not self.origins:
            return {}
        # Caches must keep the answers for different origins apart, also when this one is not on the list.
        found = {"Vary": "Origin"}
        origin = request_headers.get("origin", "")
        if origin in self.origins:
            found["Access-Control-Allow-Origin"] = origin
            found["Access-Control-Expose-Headers"] = _EXPOSED
        return found

    def preflight_headers(self, request_headers: Mapping[str, str], methods: str) -> dict[str, str]:
        """Headers that answer a preflight, beside those of :meth:`headers`; empty for any other OPTIONS."""
        asked = "access-control-request-method" in request_headers
        if not asked or request_headers.get("origin", "") not in self.origins:
            return {}
        return {
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
            "Access-Control-Max-Age": _MAX_AGE,
        }
