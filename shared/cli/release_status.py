"""How the standing of a release is shown."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from shared.cli.console import Table, out
from shared.delivery.release import Release
from shared.delivery.returning import serving_now
from shared.delivery.standing import Standing

_COLOURS = {
    "released": "green",
    "candidate": "yellow",
    "failed": "red",
    "rolled back": "red",
    "left": "yellow",
}
_BEFORE = "(before the first release)"


def shown(found: Standing, history: Sequence[Release], now: float) -> dict[str, Any]:
    """The same for machines. Shares are in percent, times in Unix seconds."""
    return {
        "stable": found.stable,
        "candidate": {
            "release": found.candidate,
            "share": found.share,
            "tended": found.tended(now),
        }
        if found.candidate
        else None,
        "hold": {"release": found.hold.release, "at": found.hold.at, "why": found.hold.why}
        if found.hold
        else None,
        "moved_by_hand": list(found.by_hand),
        "serving": serving_now(found),
        "condemned": [{"release": one.release, "at": one.at, "why": one.why} for one in found.failures],
        "history": [
            {
                "release": one.id,
                "state": one.state,
                "commit": one.commit,
                "image": one.image,
                "at": one.created_at,
            }
            for one in history
        ],
        "next": advice(found, now),
    }


def show_status(found: Standing, history: Sequence[Release], now: float, environment: str) -> None:
    """For people: what readers are on, what is odd about it, what to do, what was before."""
    out.print(f"{environment}: readers are on [bold]{found.stable or _BEFORE}[/]")
    if found.candidate:
        tended = "under way" if found.tended(now) else "left by its build"
        out.print(f"candidate [bold]{found.candidate}[/]: {found.share} % of the readers, {tended}")
    if found.hold:
        what = f"{found.hold.release} was taken back by hand" if found.hold.release else found.hold.why
        why = f": {found.hold.why}" if found.hold.release and found.hold.why else ""
        out.print(f"[yellow]held[/]: {what}{_ago(found.hold.at, now)}{why}", highlight=False)
    if text := advice(found, now):
        out.print(f"[dim]next:[/] {text}", soft_wrap=True)
    out.print(_services(found))
    if history:
        out.print()
        out.print(_history(history, now))


def advice(found: Standing, now: float) -> str:
    """The next thing to do; empty when all is well."""
    if found.candidate and not found.tended(now):
        return "`lectern release start` goes on with the candidate; `lectern rollback` ends it"
    if found.differing() and not found.candidate:
        names = ", ".join(found.differing())
        way = f"`lectern rollback --to {found.stable or 'RELEASE'}`"
        return f"{names} do not serve what chat serves: {way} makes them one set"
    if found.hold:
        return "no build releases; `lectern release start --commit … --image …` does"
    return ""


def _services(found: Standing) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("service", "serves"):
        table.add_column(column, no_wrap=True)
    table.add_column("", overflow="fold")
    for name, serving in serving_now(found).items():
        text = ", ".join(f"{release} {percent} %" for release, percent in serving.items())
        service = found.services[name]
        odd = "moved by hand" if name in found.by_hand else "" if service.settled else service.message
        table.add_row(name, text, odd)
    return table


def _history(history: Sequence[Release], now: float) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("release", "state", "when", "last step"):
        table.add_column(column, no_wrap=True)
    table.add_column("seen", overflow="fold")
    for one in history:
        last = one.steps[-1] if one.steps else None
        state = f"[{_COLOURS.get(one.state, 'default')}]{one.state}[/]"
        table.add_row(
            one.id,
            state,
            _ago(one.created_at, now).strip(),
            last.what if last else "",
            "; ".join(last.reasons[:2]) if last else "",
        )
    return table


def _ago(at: float, now: float) -> str:
    if not at:
        return ""
    seconds = max(0.0, now - at)
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f" {seconds / size:.0f} {name} ago"
    return f" at {time.strftime('%H:%M:%S', time.gmtime(at))} UTC"
