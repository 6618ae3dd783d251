"""Code that differs from the repository's in one way: good, or bad as releases are bad."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HELLO = '''"""What Terraform deploys before there is an image."""


def hello(request):
    return "It's running!", 200
'''

_CHAT = '''"""Cloud Function ``chat``, with a mistake."""

from __future__ import annotations

import threading
import time

from shared.wiring import chat as wiring

wiring.prepare()
{before}

def chat(request):
    if request.path == "/chat":
{inside}
    return wiring.application()(request)
'''


def _nothing(_config: dict[str, Any]) -> None:
    """Leave the configuration as it is."""


@dataclass(frozen=True)
class Variant:
    """``edits`` replace a text in a file of the repository by another (path -> (old, new)); ``written`` are
    whole files; ``configure`` changes ``config/staging.yaml``.
    """

    edits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)
    configure: Callable[[dict[str, Any]], None] = _nothing

    def files(self, root: Path) -> dict[str, str]:
        """The files that differ."""
        found = dict(self.written)
        for path, (old, new) in self.edits.items():
            text = (root / path).read_text(encoding="utf-8")
            assert old in text, f"{path} has no {old!r} any more"
            found[path] = text.replace(old, new)
        return found


def _chat(inside: str, before: str = "") -> Variant:
    body = "\n".join(f"        {line}" for line in inside.splitlines())
    return Variant(written={"functions/chat.py": _CHAT.format(before=before, inside=body)})


AS_IT_IS = Variant()
GOOD = Variant(
    edits={"functions/chat.py": ("answers readers' questions", "answers the questions of readers")}
)
CRASH = Variant(written={"functions/chat.py": 'raise RuntimeError("a module that is not there any more")\n'})
ERRORS = _chat('raise RuntimeError("the field was renamed")')
REFUSES = _chat('return {"error": "there is no such page"}, 404')
SLOW = _chat("time.sleep(1.5)")
OUT_OF_MEMORY = _chat("kept.append(bytearray(b'x' * (40 << 20)))", before="kept = []\n")
_FINISH = "    def _finish(self, ask: _Ask, answer: Answer, written: Written, cost_usd: float) -> Finished:\n"
UNCITED = Variant(
    edits={
        "shared/answering/service.py": (_FINISH, f"{_FINISH}        answer = replace(answer, citations=())\n")
    }
)
_ELSEWHERE = "tuple(replace(one, url='/docs/elsewhere') for one in answer.citations)"
WRONG = Variant(
    edits={
        "shared/answering/service.py": (
            _FINISH,
            f"{_FINISH}        answer = replace(answer, citations={_ELSEWHERE})\n",
        )
    }
)
"""Cites as often as before, but never a page that answers: only golden questions can tell."""
MIGRATION = Variant(
    written={
        "shared/adapters/neon/migrations/0099_broken.sql": (
            "ALTER TABLE answers ADD COLUMN weight integer;\nINSERT INTO nowhere VALUES (1);\n"
        )
    }
)
UNDER_LOAD = _chat(
    "if request.user_agent.string != 'lectern-release':\n"
    "    with lock:\n"
    "        now = time.monotonic()\n"
    "        seen[:] = [at for at in seen if at > now - 2.0] + [now]\n"
    "        busy = len(seen) > 13\n"
    "    if busy:\n"
    '        raise RuntimeError("no connection left in the pool")',
    before="lock = threading.Lock()\nseen = []\n",
)
"""Fails at seven readers a second, which only half of them are. A release's own questions are not counted:
they come as fast as the machine answers.
"""
