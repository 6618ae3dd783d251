"""Joins releases: Cloud Run, Cloud Monitoring, the bucket of manifests, the index, questions over HTTP."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared import settings as settings_module
from shared.delivery import deploying, returning
from shared.delivery.canary import Canary, Eyes
from shared.delivery.desk import Desk, Say
from shared.delivery.finishing import finish
from shared.delivery.fleet import Fleet, Outcome
from shared.delivery.platform import FRONT, Environment, members
from shared.delivery.platform_file import load_platform
from shared.delivery.release import Manifests, Release, commit_of, release_id
from shared.delivery.returning import Plan
from shared.delivery.standing import Standing
from shared.delivery.verdict import Criteria
from shared.errors import SettingsError
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.buckets import small_store
from shared.wiring.parts import Parts
from shared.wiring.release_index import LedgerIndex, code_of

if TYPE_CHECKING:
    from shared.adapters.access_token import TokenProvider
    from shared.wiring.release_questions import HttpQuestions, Token

ACCOUNT = "lectern-release"
"""The service account that builds and releases run as, made by Terraform (module cicd)."""
_MIGRATION_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Office:
    """Everything that releases are made with, joined."""

    desk: Desk
    parts: Parts
    settings: Settings

    # ------------------------------------------------------------ the steps of a release

    def deploy(self, commit: str, image: str, *, by_hand: bool = False, wait_seconds: float = 0.0) -> Release:
        """See :func:`shared.delivery.deploying.deploy`."""
        wanted = deploying.Wanted(commit, image, by_hand, wait_seconds)
        return deploying.deploy(
            self.desk, wanted, code_of(self.parts, self.desk.environment, self.desk.call())
        )

    def smoke(self, release: str) -> None:
        """Ask the candidate at its tag."""
        with self._canary(release, accept_inconclusive=False) as canary:
            canary.smoke()

    def canary(self, release: str, *, accept_inconclusive: bool = False) -> None:
        """Give it its shares."""
        with self._canary(release, accept_inconclusive=accept_inconclusive) as canary:
            canary.run()

    def finish(self, release: str) -> None:
        """Let everything else follow."""
        finish(self.desk, LedgerIndex(self.parts), release)

    def whole(self, release: str, *, accept_inconclusive: bool = False) -> None:
        """From the tag to all readers."""
        with self._canary(release, accept_inconclusive=accept_inconclusive) as canary:
            canary.smoke()
            canary.run()
        self.finish(release)

    # ------------------------------------------------------------ back

    def plan_rollback(self, to: str = "") -> Plan:
        """What a rollback would do."""
        return returning.plan_rollback(self.desk, LedgerIndex(self.parts), to)

    def roll_back(self, plan: Plan, why: str) -> list[Outcome]:
        """Do it."""
        return returning.roll_back(self.desk, LedgerIndex(self.parts), plan, why)

    # ------------------------------------------------------------ looking

    def standing(self) -> Standing:
        """Where things stand."""
        return self.desk.standing()

    def history(self, most: int = 10) -> list[Release]:
        """The newest manifests."""
        return self.desk.manifests.all(self.desk.call(), most)

    def named(self, wanted: str) -> str:
        """The release that ``wanted`` (an id, or a commit) means: of a commit's attempts the one under
        way.
        """
        found = self.standing()
        short = release_id(wanted) if "-" not in wanted else wanted
        if "-" in wanted or commit_of(found.candidate) != short:
            return short
        return found.candidate

    def from_environment(self, bucket: str, release: str) -> Release:
        """The manifest of a release in another environment's bucket."""
        store = small_store(bucket, self.settings, self.parts.http)
        return Manifests(store).get(release, self.desk.call())

    # ------------------------------------------------------------ eyes

    @contextmanager
    def _canary(self, release: str, *, accept_inconclusive: bool) -> Iterator[Canary]:
        addresses = {name: self.desk.fleet.get(name, self.desk.call()).url for name in self.desk.fleet.names}
        token = self._tokens()
        questions = self._questions(release, addresses[self.desk.fleet.chat], token)
        try:
            yield Canary(self.desk, self._eyes(questions, addresses, token, accept_inconclusive), release)
        finally:
            questions.close()

    def _questions(self, release: str, audience: str, token: Token) -> HttpQuestions:
        """The site's golden questions, with what chat's door asks for."""
        from shared.wiring.golden import site_questions
        from shared.wiring.release_questions import Credentials, HttpQuestions, questions_of

        golden = site_questions(self.parts, self.desk.call())
        if golden is None:
            self.desk.say(
                "No golden questions are set (golden_questions): answers are not judged, only errors."
            )
        is_public = self.desk.environment.platform.functions[FRONT].public
        credentials = Credentials(_no_token if is_public else token, audience, self.settings.release_api_key)
        asked = questions_of(golden.questions if golden else None, release)
        return HttpQuestions(self.parts.http, asked, credentials)

    def _eyes(
        self, questions: HttpQuestions, addresses: dict[str, str], token: Token, accept_inconclusive: bool
    ) -> Eyes:
        from shared.adapters.monitoring import ENDPOINT, SCOPE, CloudMeasurements
        from shared.wiring.release_questions import HttpProbes

        own = self.settings
        measurements = CloudMeasurements(
            own.project,
            own.region,
            self.parts.http,
            token=_access_token(own, self.parts, SCOPE),
            endpoint=own.cloud_run_endpoint or ENDPOINT,
        )
        alive = HttpProbes(self.parts.http, token, addresses.__getitem__)
        criteria = Criteria(error_rate=own.alert_error_rate)
        return Eyes(questions, measurements, alive, criteria, accept_inconclusive)

    def _tokens(self) -> Token:
        from shared.adapters.identity_tokens import ENDPOINT, IdentityTokens

        own = self.settings
        account = f"{ACCOUNT}@{own.project}.iam.gserviceaccount.com"
        scope = "https://www.googleapis.com/auth/cloud-platform"
        endpoint = own.cloud_run_endpoint or ENDPOINT
        return IdentityTokens(
            self.parts.http, account, token=_access_token(own, self.parts, scope), endpoint=endpoint
        )


def _no_token(_audience: str, _deadline: Deadline) -> str:
    return ""


@contextmanager
def office(settings: Settings, say: Say) -> Iterator[Office]:
    """Everything joined, for one command. Raises :class:`SettingsError` where no platform is described."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about Python versions, on each command
        from shared.adapters.cloud_run_services import CloudRunServices

    environment = _environment(settings)
    with Parts(settings) as parts:
        services = CloudRunServices(settings.project, settings.region, endpoint=settings.cloud_run_endpoint)
        try:
            fleet = Fleet(services, tuple(members(environment.platform)), time.sleep)
            manifests = Manifests(small_store(settings.storage_bucket, settings, parts.http))
            desk = Desk(fleet, services, manifests, environment, time.time, time.sleep, say)
            yield Office(desk, parts, settings)
        finally:
            services.close()


def _environment(settings: Settings) -> Environment:
    if not settings.project or not settings.storage_bucket:
        lacks = f"config/{settings.environment}.yaml has no platform section or no storage_bucket"
        raise SettingsError([f"{lacks}: set LECTERN_ENV to an environment of Google Cloud"])
    return load_platform(settings.environment, settings_module.CONFIG_FOLDER)


def _access_token(settings: Settings, parts: Parts, scope: str) -> TokenProvider | None:
    from shared.adapters.access_token import DefaultCredentialsToken, MetadataToken

    if settings.cloud_run_endpoint:
        return None
    if settings.storage_credentials == "default":
        return DefaultCredentialsToken(scope=scope)
    return MetadataToken(parts.http)


def migrate(settings: Settings, say: Callable[[str], object], *, dry_run: bool) -> list[str]:
    """Apply the pending migrations, once it is sure that they take nothing away from the code that readers
    are on; their names. Raises :class:`ReleaseRefused` where they do.
    """
    from shared.wiring.release_index import check_expands, pending

    with Parts(settings) as parts:
        deadline = Deadline.after(_MIGRATION_SECONDS)
        names = [one.name for one in pending(parts, deadline)]
        if names:
            check_expands(parts, _stable_schema(settings, say), deadline)
        if names and not dry_run:
            parts.prepare_database(deadline)
        return names


def _stable_schema(settings: Settings, say: Callable[[str], object]) -> str:
    """The schema that stable's code was made for; empty where there are no releases."""
    if not settings.project:
        return ""
    with office(settings, say) as joined:
        stable = joined.standing().stable
        found = joined.desk.manifests.find(stable, joined.desk.call()) if stable else None
        return found.schema if found else ""
