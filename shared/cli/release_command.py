"""``lectern release``"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from shared import settings
from shared.cli.console import command_errors, emit_json, json_option, say
from shared.cli.release_status import show_status, shown

if TYPE_CHECKING:
    from shared.wiring.release import Office

release_argument = click.argument("release", metavar="RELEASE")
commit_option = click.option(
    "--commit", required=True, help="The commit that the image was built from, in full."
)
image_option = click.option("--image", required=True, help="The image by digest: NAME@sha256:DIGEST.")
accept_option = click.option(
    "--accept-inconclusive",
    is_flag=True,
    help="Go on where nothing can be told for want of something that stable lacks as well.",
)


@click.group("release")
def command() -> None:
    """Bring a new version to readers, in steps, and see where it stands.

    \b
    A build runs:  deploy, smoke, canary, finish
    By hand:       start (the same in one), promote (from another environment)

    A release that is worse than the one readers are on is taken back by itself. `lectern rollback` takes back
    one that readers are on. LECTERN_ENV chooses the environment.
    """  # noqa: D301 - click wants the character itself


@contextmanager
def _office() -> Iterator[Office]:
    from shared.wiring.release import office

    _stop_on_sigterm()
    with office(settings.load(), say) as joined:
        yield joined


def _stop_on_sigterm() -> None:
    """A cancelled build ends like Ctrl+C: its candidate is taken back."""

    def stop(_number: int, _frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


def _done(release: str, words: str, *, as_json: bool) -> None:
    if as_json:
        emit_json({"release": release, "done": words})
    else:
        click.echo(f"{release} {words}")


@command.command("status", short_help="Show who serves readers and what is under way.")
@json_option
@command_errors
def status(*, as_json: bool) -> None:
    """Show who serves readers, what is under way, and what happened before."""
    from shared.errors import LecternError

    with _office() as joined:
        found = joined.standing()
        try:
            history = joined.history()
        except LecternError as error:
            say(f"The manifests could not be read: {error}")
            history = []
        if as_json:
            emit_json(shown(found, history, joined.desk.now()))
        else:
            show_status(found, history, joined.desk.now(), joined.desk.environment.name)


@command.command("deploy", short_help="Deploy an image to every function, without readers.")
@commit_option
@image_option
@click.option("--wait", "wait_seconds", default=0.0, help="Seconds to wait for a release that is under way.")
@json_option
@command_errors
def deploy(*, commit: str, image: str, wait_seconds: float, as_json: bool) -> None:
    """Deploy an image to every function, with a tag and without readers.

    A commit that was condemned before is refused, and every commit while a rollback by hand holds.
    """
    with _office() as joined:
        made = joined.deploy(commit, image, wait_seconds=wait_seconds)
    _done(made.id, "is deployed, without readers", as_json=as_json)


@command.command("smoke", short_help="Ask a candidate at its tag, before any reader.")
@release_argument
@json_option
@command_errors
def smoke(*, release: str, as_json: bool) -> None:
    """Ask a candidate at its tag, before any reader.

    Every function must serve, and chat must answer as well as stable.
    """
    with _office() as joined:
        release = joined.named(release)
        joined.smoke(release)
    _done(release, "is as good as stable at its tag", as_json=as_json)


@command.command("canary", short_help="Give a candidate its shares of the readers.")
@release_argument
@accept_option
@json_option
@command_errors
def canary(*, release: str, accept_inconclusive: bool, as_json: bool) -> None:
    """Give a candidate 10, 50 and 100 percent of the readers, judged at each step (config: canary.steps).

    Run again after an interruption, it goes on at the share that the candidate has.
    """
    with _office() as joined:
        release = joined.named(release)
        joined.canary(release, accept_inconclusive=accept_inconclusive)
    _done(release, "has all readers", as_json=as_json)


@command.command("finish", short_help="Let the other functions and the jobs follow.")
@release_argument
@json_option
@command_errors
def finish(*, release: str, as_json: bool) -> None:
    """Let the other functions and the jobs follow chat. When one cannot, the whole set is taken back."""
    with _office() as joined:
        release = joined.named(release)
        joined.finish(release)
    _done(release, "is stable", as_json=as_json)


@command.command("start", short_help="Release by hand: all steps in one.")
@click.option("--commit", help="The commit that the image was built from.")
@click.option("--image", help="The image by digest: NAME@sha256:DIGEST.")
@accept_option
@json_option
@command_errors
def start(*, commit: str | None, image: str | None, accept_inconclusive: bool, as_json: bool) -> None:
    """Release by hand, all steps in one: also what a rollback by hand or an earlier verdict stops builds
    from.

    Without --commit and --image, the candidate that a killed build left goes on where it was.
    """
    if bool(commit) != bool(image):
        raise click.UsageError("Give --commit and --image together, or neither.")
    with _office() as joined:
        release = joined.deploy(commit, image, by_hand=True).id if commit and image else _left(joined)
        joined.whole(release, accept_inconclusive=accept_inconclusive)
    _done(release, "is stable", as_json=as_json)


def _left(joined: Office) -> str:
    from shared.errors import ReleaseError

    found = joined.standing()
    if not found.candidate:
        hint = "Give --commit and --image; `lectern release status` shows more."
        raise ReleaseError("No release is under way.", hint=hint)
    return found.candidate


@command.command("promote", short_help="Release what another environment released.")
@release_argument
@click.option(
    "--from", "bucket", required=True, help="Bucket of the environment it was released in: gs://NAME."
)
@accept_option
@json_option
@command_errors
def promote(*, release: str, bucket: str, accept_inconclusive: bool, as_json: bool) -> None:
    """Release in this environment what was released in another: the same image, by its digest.

    The candidate goes all steps again, with this environment's settings, secrets and readers.
    """
    from shared.delivery.release import RELEASED
    from shared.errors import ReleaseRefused

    with _office() as joined:
        made = joined.from_environment(bucket, release)
        if made.state != RELEASED:
            raise ReleaseRefused(
                f"Release {release} is {made.state} in {made.environment}; it must be released there.",
                hint=f"See `LECTERN_ENV={made.environment} lectern release status`.",
            )
        own = joined.deploy(made.commit, made.image)
        joined.whole(own.id, accept_inconclusive=accept_inconclusive)
    _done(own.id, f"is stable, promoted from {made.environment}", as_json=as_json)
