"""Which handler a path and a method lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import RequestError
from shared.http.requests import JSON, Request
from shared.http.sse import EventStream


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. ``body`` becomes JSON (values, msgspec Structs, dataclasses), but for bytes, which are
    sent as they are under ``content_type``, and None, which is no body.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON


Handler = Callable[[Request], Reply | EventStream]


@dataclass(frozen=True, slots=True)
class Route:
    """``method`` on a path such as ``/chat/{answer_id}``; a part in braces matches one path segment."""

    method: str
    path: str
    handler: Handler

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or self.path.endswith("z"):
            raise ValueError(
                f"{self.path}: a path starts with / and never ends in z, which Cloud Run reserves"
            )


@dataclass(frozen=True, slots=True)
class Match:
    """The route that was found and the values of its path pattern."""

    route: Route
    params: Mapping[str, str]


class Table:
    """The routes of one function."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(_segments(route.path), route) for route in routes]

    def find(self, method: str, path: str) -> Match:
        """The route for a request; HEAD is served by the route of GET.

        Raises :class:`~shared.errors.RequestError` 404 for an unknown path, 405 (with Allow) for a method
        that the path does not have.
        """
        wanted = "GET" if method == "HEAD" else method
        matches = self._at(path)
        for match in matches:
            if match.route.method == wanted:
                return match
        allowed = self.methods(path)
        raise RequestError(
            405,
            "method_not_allowed",
            f"{method} is not possible on this path.",
            hint=f"Use {allowed}.",
            headers={"Allow": allowed},
        )

    def methods(self, path: str) -> str:
        """The Allow header of a path. Raises 404 when no route has it."""
        found = {match.route.method for match in self._at(path)}
        if "GET" in found:
            found.add("HEAD")
        return ", ".join([*sorted(found), "OPTIONS"])

    def pattern(self, path: str) -> str:
        """The pattern of the routes at a path, for logs and metrics; empty when there is none."""
        given = _segments(path)
        return next((r.path for parts, r in self._routes if _params(parts, given) is not None), "")

    def _at(self, path: str) -> list[Match]:
        given = _segments(path)
        found = [Match(r, p) for parts, r in self._routes if (p := _params(parts, given)) is not None]
        if not found:
            raise RequestError(
                404, "not_found", "There is nothing at this path.", hint="The API reference lists every path."
            )
        return found


def _segments(path: str) -> list[str]:
    """The parts of a path; one slash at the end is forgiven."""
    return path.removeprefix("/").removesuffix("/").split("/")


def _params(pattern: list[str], given: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(given):
        return None
    params: dict[str, str] = {}
    for part, value in zip(pattern, given, strict=True):
        if part.startswith("{") and value:
            params[part[1:-1]] = value
        elif part != value:
            return None
    return params
