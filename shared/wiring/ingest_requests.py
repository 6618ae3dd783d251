"""What the function ``ingest`` does with a request: a plan, a run inside the request, or a job."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from shared.errors import DeadlineExceeded, Missing, PreconditionFailed, RequestError
from shared.ingestion.launch import Progress, task_count
from shared.ingestion.parts import Hooks
from shared.ingestion.plan import Plan
from shared.ports import Run
from shared.resilience.deadline import Clock, Deadline
from shared.settings import Settings
from shared.wiring.ingest_api import IngestBody
from shared.wiring.ingestion import Wanted, execute, ingestion, launcher, new_id, plan
from shared.wiring.parts import Parts

CALL_SECONDS = 25.0
"""Longest time for starting a job, or telling of a run."""
LOOK_SECONDS = 1.0
"""Between two looks at a run that is waited for."""

_RECENT = 50
_SCHEDULE_TIME = "x-cloudscheduler-scheduletime"
_IDEMPOTENCY_KEY = "idempotency-key"


class IngestRequests:
    """Serves the requests of one instance. ``pause`` waits between two looks."""

    def __init__(
        self,
        parts: Parts,
        *,
        clock: Clock = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._parts = parts
        self._clock = clock
        self._pause = pause
        self._fingerprint = ingestion(parts).fingerprint
        self._launcher = launcher(parts)

    def post(self, body: IngestBody, headers: Mapping[str, str]) -> Progress | Plan:
        """Do what was asked, as far as the request's time allows; the rest is left to a job.

        Raises :class:`~shared.errors.RequestError` 409 without a site and 400 for a place that is not the
        configured one; :class:`~shared.errors.RunUnderWay`; the errors of
        :class:`~shared.ingestion.run.Ingestion`.
        """
        wanted = self._wanted(body, _run_id(headers))
        deadline = Deadline.after(self._parts.settings.ingest_request_seconds, self._clock)
        run = wanted.run(self._fingerprint)
        if body.plan:
            found = self._launcher.under_way(run, self._call())
            if found is None:
                return plan(self._patient(deadline), wanted, _within(deadline))
            return self._progress(found)
        found = self._launcher.answered(run, self._call())
        if found is None and body.wait and (done := self._done_here(wanted, deadline)):
            return self.get(done)
        if found is None:
            found, _ = self._launcher.launch(run, self._call())
        return self._ended(found, deadline) if body.wait else self._progress(found)

    def get(self, run_id: str) -> Progress:
        """How a run is doing. Raises :class:`~shared.errors.RequestError` 404 for one that is not known."""
        try:
            return self._progress(self._parts.runs.get(run_id, self._call()))
        except Missing as error:
            hint = "Runs are kept until fifty later ones were made; `lectern ingest --runs` lists them."
            raise RequestError(404, "unknown_run", "There is no such run.", hint=hint) from error

    # ------------------------------------------------------------ inside the request

    def _done_here(self, wanted: Wanted, deadline: Deadline) -> str:
        """The id of the whole run, if it fitted into the request, else empty. One that does not is left where
        it is; so is one that would have to wait for a backup or another run longer than there is time.
        """
        try:
            return execute(self._patient(deadline), replace(wanted, tasks=1), _within(deadline)).run
        except DeadlineExceeded:
            return ""
        except PreconditionFailed:
            if not deadline.expired():
                raise
            return ""

    def _patient(self, deadline: Deadline) -> Settings:
        own = self._parts.settings
        return replace(own, ingest_wait_seconds=min(own.ingest_wait_seconds, deadline.remaining()))

    def _ended(self, run: Run, deadline: Deadline) -> Progress:
        """The run at its end, or as it stands when the request's time is over."""
        while (found := self.get(run.id)).works and deadline.remaining() > LOOK_SECONDS:
            self._pause(LOOK_SECONDS)
        return found

    # ------------------------------------------------------------ what is wanted

    def _wanted(self, body: IngestBody, run_id: str) -> Wanted:
        own = self._parts.settings
        place = _place(own.site_folder, body.source)
        wanted = Wanted(place, own.site_base_url if "://" not in place else "", run_id=run_id)
        last = self._last(wanted.run(self._fingerprint))
        tasks = body.tasks or own.ingest_tasks or task_count(_pages(last))
        name = last.source if last else ""
        return replace(wanted, source=name, tasks=tasks, allow_removal=body.allow_removal)

    def _last(self, run: Run) -> Run | None:
        """The newest run from the same place: the site keeps the name that it has in the ledger."""
        recent = self._parts.runs.recent(self._call(), limit=_RECENT)
        same = [one for one in recent if (one.place, one.base_url) == (run.place, run.base_url)]
        return next((one for one in same if one.report is not None), next(iter(same), None))

    def _progress(self, run: Run) -> Progress:
        return self._launcher.told(run, self._call())

    def _call(self) -> Deadline:
        return Deadline.after(CALL_SECONDS, self._clock)


def _within(deadline: Deadline) -> Hooks:
    """Hooks that end a run when the request's time is over: it is gone on with from there."""

    def check(*_: object) -> None:
        if deadline.expired():
            raise DeadlineExceeded(
                "The request's time is over.", hint="A job goes on with the run; ask for its progress."
            )

    return Hooks(reading=check, embedding=check, writing=check)


def _run_id(headers: Mapping[str, str]) -> str:
    """The id of the run: the same for a request that is sent again, which Cloud Scheduler and careful hooks
    say by a header.
    """
    if scheduled := headers.get(_SCHEDULE_TIME, ""):
        return f"{_compact(scheduled)}-{_short(scheduled)}"
    key = headers.get(_IDEMPOTENCY_KEY, "")
    return f"key-{_short(key, 16)}" if key else new_id()


def _compact(text: str) -> str:
    try:
        at = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return "scheduled"
    return f"{at:%Y%m%dT%H%M%SZ}"


def _short(text: str, length: int = 6) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def _place(configured: str, asked: str) -> str:
    if not configured:
        hint = "Set LECTERN_SITE_FOLDER to a folder of pages, a bucket's prefix, or the site's address."
        raise RequestError(409, "no_site", "No site is configured.", hint=hint)
    if not asked or asked == configured:
        return configured
    below = asked.startswith(configured.rstrip("/") + "/")
    if below and not {"..", "."} & set(asked.split("/")) and asked.isprintable():
        return asked
    raise RequestError(
        400,
        "invalid_request",
        "source is not the configured site, nor a place below it.",
        hint="Leave it out, or set LECTERN_SITE_FOLDER to a place above it.",
    )


def _pages(last: Run | None) -> int:
    found = last.report.get("pages", 0) if last and last.report else 0
    return found if isinstance(found, int) else 0
