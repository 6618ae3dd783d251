"""Mutations of what reads a site over HTTPS."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

_WEB = "shared/adapters/web/"
_TESTS = ("tests/contract/test_fetcher.py",)


def _web(file: str, old: str, new: str, harm: str, only: str) -> Mutation:
    return Mutation("Web: fetcher", _WEB + file, old, new, harm, _TESTS, only)


WEB = [
    _web(
        "connections.py",
        "        self._check(host, addresses)\n",
        "",
        "a name may lead into the private network",
        "leads_inside or changes_its_address",
    ),
    _web(
        "connections.py",
        "        return self._inner.read(max_bytes, self._backend.remaining(timeout))",
        "        return self._inner.read(max_bytes, timeout)",
        "a server that drips holds a run",
        "drips",
    ),
    _web(
        "hosts.py",
        "    if one in _METADATA:\n",
        "    if False:\n",
        "an allowed name may lead to the metadata server",
        "never_reaches_metadata",
    ),
    _web(
        "hosts.py",
        "    yield from (one for one in inner if one is not None)\n",
        "",
        "a private address passes inside of a public one",
        "not_public",
    ),
    _web(
        "fetcher.py",
        "            self._borders.check(here)\n",
        "",
        "a redirect leads to another site",
        "leaves_the_site",
    ),
    _web(
        "bodies.py",
        "            self._body += self._engine.decompress(chunk, _STEP)\n",
        "            self._body += self._engine.decompress(chunk)\n",
        "a bomb is in memory before it is noticed",
        "bomb_is_noticed",
    ),
    _web(
        "bodies.py",
        "        if not self._engine.eof:\n",
        "        if False:\n",
        "half of a page passes for the whole",
        "named_error",
    ),
    _web(
        "fetcher.py",
        "            self._pace.hold(error.retry_after)\n",
        "            pass\n",
        "a site that asks for a pause is asked on",
        "holds_for_every_page",
    ),
]
