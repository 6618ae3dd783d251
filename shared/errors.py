"""Every error that Lectern raises on purpose.

::

    LecternError
    ├── SettingsError            settings that are missing or wrong, all of them at once
    ├── RequestError             what a caller sent; carries the HTTP status
    ├── DeadlineExceeded         the request's time is used up
    ├── SourceError              a site, folder or page that cannot be read
    ├── RemovalNotAllowed        an ingestion would remove more pages than it may unasked
    ├── GenerationRefused        a new generation answers its golden questions worse than the live one
    ├── TasksFailed              a job ended without its work being done
    ├── StackError               the embedded stack could not start, or is in use
    ├── ReleaseError             a release that cannot be made, or does not go on
    │   ├── ReleaseHeld          readers were taken back by hand: a person must release again
    │   ├── ReleaseBusy          another release is under way
    │   ├── ReleaseRefused       it does not go with the database, the index, or what was condemned before
    │   ├── ReleaseUnhealthy     worse than stable; it was taken back
    │   └── ReleaseInconclusive  nothing could be told in the time; it was taken back, not condemned
    ├── NoRungHeld               every way of doing one step failed; carries why each did
    └── DependencyError          an outside service; says which, doing what, on what
        ├── Unreachable          refused, reset, cut, no route, no such host       (try again)
        ├── TimedOut             no answer in the time given                       (try again)
        ├── Throttled            429, quota; ``retry_after`` when the service said (try again)
        ├── Overloaded           5xx                                               (try again)
        ├── Garbled              an answer that cannot be understood               (try again)
        ├── Interrupted          a stream that ended before its end                (try again)
        ├── AccessDenied         wrong, missing or expired credentials             (final)
        ├── Rejected             the service refused what we sent                  (final)
        ├── Missing              the thing asked for does not exist                (final)
        ├── PreconditionFailed   somebody else was first                           (final)
        ├── Corrupt              a checksum does not match                         (final)
        ├── Blocked              a safety filter withheld the answer               (final)
        ├── Open                 not asked: it failed too often just now           (final)
        └── Cancelled            the caller stopped it                             (final)

A message names what was attempted and on what; ``hint`` names the next thing to do.
"""

from __future__ import annotations

from collections.abc import Sequence


class LecternError(Exception):
    """Root of the tree.

    ``message`` says what went wrong and where, in words for a person; ``hint`` what to do next
    (may be empty). ``code`` is the stable machine name used in the API's error shape, in logs
    and in ``--json`` output.
    """

    code = "error"
    status = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class SettingsError(LecternError):
    """Settings that are missing or wrong. ``problems`` holds one line for each, by name."""

    code = "settings_invalid"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        title = "1 setting is wrong" if count == 1 else f"{count} settings are wrong"
        super().__init__(
            "\n".join([f"{title}:", *(f"  {line}" for line in self.problems)]),
            hint="See docs/reference/configuration.md for every setting.",
        )


class RequestError(LecternError):
    """A request that cannot be served as sent. ``status`` is the HTTP status, 4xx or 5xx."""

    def __init__(
        self, status: int, code: str, message: str, *, hint: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


class DeadlineExceeded(LecternError):
    """The time that the request had is used up."""

    code = "deadline_exceeded"
    status = 504


class SourceError(LecternError):
    """A site, folder or page that cannot be read."""

    code = "source_unreadable"
    status = 422


class RemovalNotAllowed(LecternError):
    """An ingestion would remove more pages than it may without being told to. Nothing was changed."""

    code = "removal_not_allowed"
    status = 409


class RunUnderWay(LecternError):
    """A removal was allowed while a run of the site is under way: what would go is not known yet."""

    code = "run_under_way"
    status = 409


class GenerationRefused(LecternError):
    """A new generation answers the golden questions worse than the live one, which readers keep."""

    code = "generation_refused"
    status = 409


class TasksFailed(LecternError):
    """A job ended without its work being done."""

    code = "tasks_failed"
    status = 502


class StackError(LecternError):
    """The embedded stack could not start, or another process is using it."""

    code = "stack_unavailable"
    status = 503


class ReleaseError(LecternError):
    """A release that cannot be made, or does not go on."""

    code = "release_failed"
    status = 409


class ReleaseHeld(ReleaseError):
    """Readers were taken back by hand; only a person releases again."""

    code = "release_held"


class ReleaseBusy(ReleaseError):
    """Another release is under way."""

    code = "release_busy"


class ReleaseNotUnderWay(ReleaseError):
    """Another release is, or none: it was taken back or finished meanwhile."""

    code = "release_not_under_way"


class ReleaseRefused(ReleaseError):
    """It does not go with the schema of the database or the generation of the index, or was condemned
    before.
    """

    code = "release_refused"


class ReleaseUnhealthy(ReleaseError):
    """Worse than stable; it was taken back and is remembered."""

    code = "release_unhealthy"


class ReleaseInconclusive(ReleaseError):
    """Nothing could be told of it in the time that it had; it was taken back and is not condemned."""

    code = "release_inconclusive"


class NoRungHeld(LecternError):
    """Every rung of a ladder failed or was skipped.

    ``reasons`` are code words such as ``qdrant: timed_out``; ``causes`` the errors of the rungs that were
    tried, in order.
    """

    code = "unavailable"
    status = 503

    def __init__(self, attempted: str, reasons: Sequence[str], causes: Sequence[LecternError] = ()) -> None:
        self.reasons = tuple(reasons)
        self.causes = tuple(causes)
        why = ", ".join(self.reasons) or "there is no way to do it"
        super().__init__(f"{attempted} failed: {why}.", hint="Ask again in a minute.")


class DependencyError(LecternError):
    """An outside service did not do what it was asked.

    ``service`` is the short name used in logs and health (``neon``, ``qdrant``, ``gcs``,
    ``gemini``), ``operation`` the verb that was attempted. ``retryable`` says whether the same
    call may succeed later; ``retry_after`` is in seconds, when the service named it.
    """

    code = "dependency_failed"
    status = 503
    retryable = False

    def __init__(
        self,
        service: str,
        operation: str,
        detail: str,
        *,
        hint: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{service}: {operation} failed: {detail}.".replace("..", "."), hint=hint)
        self.service = service
        self.operation = operation
        self.detail = detail
        self.retry_after = retry_after


class Unreachable(DependencyError):
    """Refused, reset, cut, no route or no such host."""

    code = "unreachable"
    retryable = True


class TimedOut(DependencyError):
    """No answer in the time given."""

    code = "timed_out"
    retryable = True


class Throttled(DependencyError):
    """The service asks us to slow down; ``retry_after`` is set when it said for how long."""

    code = "throttled"
    retryable = True


class Overloaded(DependencyError):
    """The service answered 5xx."""

    code = "overloaded"
    retryable = True


class Garbled(DependencyError):
    """An answer that does not have the form the service documents."""

    code = "garbled"
    retryable = True


class Interrupted(DependencyError):
    """A stream that ended before its end: what arrived is not the whole."""

    code = "interrupted"
    retryable = True


class AccessDenied(DependencyError):
    """Wrong, missing or expired credentials."""

    code = "access_denied"


class Rejected(DependencyError):
    """The service refused what we sent; sending it again changes nothing."""

    code = "rejected"


class Missing(DependencyError):
    """The collection, object, row or model asked for does not exist."""

    code = "missing"


class PreconditionFailed(DependencyError):
    """The object or row is not in the state that the call required: somebody else was first."""

    code = "precondition_failed"


class Corrupt(DependencyError):
    """Bytes that do not match their checksum."""

    code = "corrupt"


class Blocked(DependencyError):
    """A safety filter withheld the answer; ``detail`` names the reason the service gave."""

    code = "blocked"


class Open(DependencyError):
    """Not asked, because the service failed too often just now; ``retry_after`` says when it will be."""

    code = "open"


class Cancelled(DependencyError):
    """The caller stopped the operation."""

    code = "cancelled"
