"""What the first question would have to wait for, done while the process waits for the first question.

functions-framework loads a function's module before gunicorn forks its worker, and threads and connections
do not outlive a fork: nothing may begin at import. So the work begins in the child, in a thread of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping

from shared.errors import LecternError
from shared.resilience.deadline import Deadline
from shared.telemetry.logs import Logger

STEP_SECONDS = 4.0
"""Most time for one step: a service that does not answer delays the steps after it by this and no request."""

Step = Callable[[Deadline], object]


class WarmUp:
    """Runs the steps that ``make`` gives, by name, once in each process forked after :meth:`after_fork`.

    ``make`` may take its time: it runs in the thread, too. What a step raises is put into one line of the
    log and has no other consequence: the request that needs the service meets the failure again, with its
    ladder.
    """

    def __init__(self, make: Callable[[], tuple[Mapping[str, Step], Logger]]) -> None:
        self._make = make
        self._over = threading.Event()
        self._over.set()

    @property
    def under_way(self) -> bool:
        """Whether the steps are being run; false where no fork was, as in ``lectern run``."""
        return not self._over.is_set()

    def after_fork(self) -> None:
        """Begin in every child process from now on."""
        os.register_at_fork(after_in_child=self.begin)

    def begin(self) -> None:
        """Begin now, and return at once."""
        self._over = threading.Event()
        threading.Thread(target=self._run, name="warm-up", daemon=True).start()

    def _run(self) -> None:
        try:
            steps, logger = self._make()
            problems = {name: problem for name, step in steps.items() if (problem := _problem(step, logger))}
            if problems:
                logger.log("WARNING", "The instance is up, but not warm.", problems=problems)
        finally:
            self._over.set()


def _problem(step: Step, logger: Logger) -> str:
    """Why the step failed; empty when it did not."""
    try:
        step(Deadline.after(STEP_SECONDS))
    except LecternError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - the thread's work ends here, and no request depends on it
        logger.failure("A step of the warm-up failed", error)
        return type(error).__name__
    return ""
