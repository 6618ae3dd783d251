"""What language models may cost: above the cap answers are quoted passages instead of the bill growing."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable


class SpendMeter:
    """US dollars of the UTC day and month, as the database knows them and as this instance adds to them.

    While the database cannot be asked, the last known sums and this instance's own answers count. A cap of 0
    is no cap. ``now`` gives Unix seconds.
    """

    def __init__(self, cap_day: float, cap_month: float, now: Callable[[], float]) -> None:
        self._caps = (cap_day, cap_month)
        self._now = now
        self._lock = threading.Lock()
        self._day = self._today()
        self._spent = [0.0, 0.0]

    def note(self, today: float, month: float) -> None:
        """What the database says was spent by all instances."""
        with self._lock:
            self._turn_over()
            # In place of this instance's own count: an answer is recorded before its reader asks again.
            self._spent = [today, month]

    def add(self, usd: float) -> None:
        """What an answer of this instance cost."""
        with self._lock:
            self._turn_over()
            self._spent = [spent + usd for spent in self._spent]

    def over(self) -> str:
        """Why nothing may be spent now, in words for the answer; empty when it may."""
        with self._lock:
            self._turn_over()
            for period, cap, spent in zip(("day", "month"), self._caps, self._spent, strict=True):
                if cap and spent >= cap:
                    return f"the spending cap of the {period} is reached"
        return ""

    def _turn_over(self) -> None:
        today = self._today()
        if today == self._day:
            return
        same_month = (today.year, today.month) == (self._day.year, self._day.month)
        self._spent = [0.0, self._spent[1] if same_month else 0.0]
        self._day = today

    def _today(self) -> dt.date:
        return dt.datetime.fromtimestamp(self._now(), dt.UTC).date()
