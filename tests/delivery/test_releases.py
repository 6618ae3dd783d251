"""Releases and rollbacks on a Cloud Run that runs real revisions, under twenty readers a second.

The build's steps run as processes of the code that is released; rollbacks are made by the real gcloud and by
`lectern rollback`. A few bad releases always run here, all of them with --full.
"""

from __future__ import annotations

import re
import time

import httpx
import pytest

from shared.settings import ROOT
from tests.delivery import variants
from tests.delivery.place import CANARY, QUESTIONS, SECOND, Built, Place, Readers
from tests.delivery.scenarios import (
    AT_TAG,
    HEAD,
    MIGRATION,
    Seen,
    is_left,
    killed,
    outage,
    readers_of,
    release,
    settle,
)
from tests.delivery.variants import Variant
from tests.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
MOST_SECONDS = 20.0
"""The aim is 5 on a quiet machine, and is printed; this is for a machine that does eight other things."""
ROLLBACK = ROOT / "docs" / "release" / "rollback.md"
full = pytest.mark.full
rows: list[str] = []

BAD = [
    pytest.param("crash at start", variants.CRASH, "did not come up", AT_TAG, marks=full, id="crash"),
    pytest.param("500s", variants.ERRORS, "unhealthy", AT_TAG, marks=full, id="500s"),
    pytest.param("refuses all (404)", variants.REFUSES, "unhealthy", AT_TAG, marks=full, id="refuses"),
    pytest.param("slow", variants.SLOW, "unhealthy", AT_TAG, marks=full, id="slow"),
    pytest.param("out of memory", variants.OUT_OF_MEMORY, "unhealthy", AT_TAG, marks=full, id="memory"),
    pytest.param("wrong answers (citations off)", variants.UNCITED, "unhealthy", AT_TAG, id="wrong"),
    pytest.param("broken migration", variants.MIGRATION, "migration failed", MIGRATION, id="migration"),
    pytest.param("worse only at 50 %", variants.UNDER_LOAD, "unhealthy", "at 50 %", id="load"),
]


@pytest.fixture(scope="module", autouse=True)
def table() -> object:
    """Print what was seen, when the long form ran."""
    yield
    if len(rows) > 1:
        print("\n" + "\n".join((HEAD, *rows)))


def assert_consistent(seen: Seen) -> None:
    rows.append(seen.row())
    assert seen.one_set, seen.row()
    assert seen.candidate is None, seen.candidate
    assert seen.readers > 50
    assert seen.failed <= seen.bound, seen.row()


@pytest.mark.parametrize(("name", "variant", "code", "where"), BAD)
def test_a_bad_release_is_taken_back(
    somewhere: Place, base: Built, *, name: str, variant: Variant, code: str, where: str
) -> None:
    """Readers would meet a bad release for longer than it takes to see that it is bad, or it would stay."""
    seen = release(somewhere, name, variant)
    assert (seen.code, seen.where) == (code, where), seen.words
    assert_consistent(seen)
    assert seen.one_set == seen.stable_before
    assert seen.remembered == (where != MIGRATION)
    if where in {AT_TAG, MIGRATION}:
        assert (seen.sent, seen.failed) == (0, 0), seen.row()


def test_a_broken_migration_leaves_the_database_as_it_was(somewhere: Place, base: Built) -> None:
    """Half of a migration would be there, and the code that readers are on would meet it."""
    built = somewhere.build(variants.MIGRATION)
    done = somewhere.lectern(built, "migrate")
    assert done.code == 1
    assert "0099_broken" in done.err
    columns = (
        "SELECT count(*) FROM information_schema.columns WHERE table_name='answers' AND column_name='weight'"
    )
    assert somewhere.sql(columns)[0][0] == 0
    taking = somewhere.build(
        Variant(written={"shared/adapters/neon/migrations/0098_less.sql": "DROP TABLE answers;"})
    )
    done = somewhere.lectern(taking, "migrate", "--json")
    assert (done.code, done.json()["error"]["code"]) == (1, "release_refused")
    assert "0098_less drops something" in done.json()["error"]["message"]


@full
def test_good_code_is_not_condemned_for_an_outage_of_gemini(somewhere: Place, base: Built) -> None:
    """A release would be taken back, and its commit refused for ever, because Gemini was down."""
    seen = release(somewhere, "good code, Gemini down", variants.GOOD, outage(somewhere))
    try:
        assert seen.code == "inconclusive", seen.words
        assert_consistent(seen)
        assert not seen.remembered
        assert (seen.sent, seen.failed) == (0, 0)
    finally:
        somewhere.gemini.faults.clear()


def test_a_build_that_is_killed_leaves_a_canary_that_the_next_one_ends(somewhere: Place, base: Built) -> None:
    """A tenth of the readers would stay on a version that nobody watches."""
    seen, built = killed(somewhere)
    assert seen.failed == 0
    assert seen.candidate == {"release": built.commit[:7], "share": 10, "tended": seen.candidate["tended"]}
    wait_for(lambda: is_left(somewhere))
    somewhere.canary = {**CANARY, "steps": [100], "step_seconds": 1}
    following = somewhere.build(variants.GOOD)
    with Readers(somewhere.run.url("lectern-chat")) as readers:
        done = somewhere.release(following)
    somewhere.canary = dict(CANARY)
    assert [one.code for one in done] == [0] * 5, done[-1]
    assert f"{built.commit[:7]} was left at 10 %" in done[1].err
    assert readers.failed() == 0
    assert somewhere.one_set() == following.commit[:7]
    seen.one_set, seen.code, seen.where, seen.share = (
        somewhere.one_set(),
        "taken back by the next",
        "at 10 %",
        10,
    )
    rows.append(seen.row())


@full
def test_a_killed_build_goes_on_where_it_was(somewhere: Place, base: Built) -> None:
    """A person could only start from the beginning, or would leave the candidate where it is."""
    somewhere.canary = {**CANARY, "step_seconds": 3, "questions": 10}
    _, built = killed(somewhere, "build killed, gone on with by hand")
    done = somewhere.lectern(built, "release", "start")
    somewhere.canary = dict(CANARY)
    assert done.code == 0, done.err
    assert somewhere.one_set() == built.commit[:7]


# ------------------------------------------------------------ rollback


def handbook_lines(region: str = "REGION") -> list[str]:
    """The gcloud lines of the handbook's page about rollback, as they stand there, of this region."""
    blocks = re.findall(r"```bash\n(.*?)```", ROLLBACK.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [one for one in blocks if "update-traffic" in one and one.startswith(f"{region}=")]
    return [line for line in block.splitlines() if line.startswith("gcloud")]


def last_request(place: Place, revision: str, since: float) -> float:
    """When the last reader was sent to a revision, in seconds after ``since``."""
    met = [one.at for one in readers_of(place) if one.revision == revision]
    return max((at for at in met if at >= since), default=since) - since


@pytest.fixture
def two(somewhere: Place, base: Built) -> tuple[str, Built]:
    """A release that readers are on, and the one before it."""
    before = somewhere.one_set()
    somewhere.canary = {**CANARY, "steps": [100], "step_seconds": 1, "questions": 10}
    built = somewhere.build(variants.GOOD)
    done = somewhere.lectern(built, "release", "start", "--commit", built.commit, "--image", built.image)
    somewhere.canary = dict(CANARY)
    assert done.code == 0, done.err
    return before, built


def test_gcloud_rolls_back_and_automation_leaves_it_so(somewhere: Place, two: tuple[str, Built]) -> None:
    """An operator without Lectern's command line could not roll back, or the next build would undo it."""
    before, bad = two
    revision = f"lectern-chat-{bad.commit[:7]}"
    lines = handbook_lines()
    assert len(lines) == 6
    with Readers(somewhere.run.url("lectern-chat")) as readers:
        settle(readers)
        since = time.time()
        first = somewhere.gcloud(f"REGION={somewhere.run.region} RELEASE={before}; {lines[0]}")
        assert first.code == 0, first.err
        settle(readers)
        seconds = last_request(somewhere, revision, since)
        for line in lines[1:]:
            done = somewhere.gcloud(f"REGION={somewhere.run.region} RELEASE={before}; {line}")
            assert done.code == 0, done.err
    print(f"\ngcloud: {seconds:.1f} s from the command to the last reader on the bad revision")
    assert seconds <= MOST_SECONDS
    assert readers.failed() == 0
    assert somewhere.one_set() == before
    again = somewhere.release(bad)
    assert again[-1].code == 1
    assert "No build releases until a person does" in again[-1].err
    assert somewhere.one_set() == before
    status = somewhere.status(bad)
    assert set(status["moved_by_hand"]) == set(somewhere.run.store.services)
    fresh = somewhere.release(somewhere.build(variants.GOOD))
    assert (fresh[-1].code, somewhere.one_set()) == (1, before)


def test_lectern_rolls_back_and_holds_until_a_person_releases(
    somewhere: Place, two: tuple[str, Built]
) -> None:
    """A rollback would take longer than readers have patience, or would not last."""
    before, bad = two
    plan = somewhere.lectern(bad, "rollback", "--dry-run", "--json").json()
    assert (plan["from"], plan["to"], plan["dry_run"]) == (bad.commit[:7], before, True)
    assert somewhere.one_set() == bad.commit[:7]
    with Readers(somewhere.run.url("lectern-chat")) as readers:
        settle(readers)
        since = time.time()
        done = somewhere.lectern(bad, "rollback", "--reason", "a reader complained")
        settle(readers)
    seconds = last_request(somewhere, f"lectern-chat-{bad.commit[:7]}", since)
    print(f"\nlectern rollback: {seconds:.1f} s from the command to the last reader on the bad revision")
    assert done.code == 0, done.err
    assert seconds <= MOST_SECONDS
    assert readers.failed() == 0
    assert somewhere.one_set() == before
    again = somewhere.release(bad)
    assert again[-1].code == 1
    assert "was taken back by hand (a reader complained)" in again[-1].err
    assert somewhere.one_set() == before
    somewhere.canary = {**CANARY, "steps": [100], "step_seconds": 1, "questions": 10}
    mended = somewhere.build(variants.GOOD)
    done = somewhere.lectern(mended, "release", "start", "--commit", mended.commit, "--image", mended.image)
    somewhere.canary = dict(CANARY)
    assert done.code == 0, done.err
    assert somewhere.one_set() == mended.commit[:7]
    assert somewhere.status(mended)["hold"] is None


def test_a_changed_value_arrives_with_the_next_release(somewhere: Place, base: Built) -> None:
    """A setting of config/*.yaml would stay as Terraform first made it."""

    def more(config: dict) -> None:
        config["platform"]["functions"]["chat"] |= {
            "memory": "768Mi",
            "concurrency": 40,
            "timeout_seconds": 45,
        }

    somewhere.canary = {**CANARY, "steps": [100], "step_seconds": 1, "questions": 10}
    built = somewhere.build(Variant(configure=more))
    done = somewhere.lectern(built, "release", "start", "--commit", built.commit, "--image", built.image)
    somewhere.canary = dict(CANARY)
    assert done.code == 0, done.err
    revision = somewhere.run.store.revision(f"lectern-chat-{built.commit[:7]}")
    container = revision.template["containers"][0]
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert container["resources"]["limits"]["memory"] == "768Mi"
    assert (revision.template["timeout"], revision.template["maxInstanceRequestConcurrency"]) == ("45s", 40)
    assert (variables["THREADS"], variables["LECTERN_RELEASE"]) == ("40", built.commit[:7])
    job = somewhere.run.jobs.jobs["projects/lectern-staging/locations/europe-west1/jobs/lectern-ingest-job"]
    assert job["template"]["template"]["containers"][0]["image"] == built.image


# ------------------------------------------------------------ a second region


def test_chat_in_a_second_region_is_a_member_of_the_set(somewhere: Place, base: Built) -> None:
    """Half of the readers behind a load balancer would meet another release than the other half."""
    away, older = f"lectern-chat@{SECOND}", somewhere.one_set()
    with somewhere.second_region():
        somewhere.canary = {**CANARY, "steps": [100], "step_seconds": 1, "questions": 10}
        first, second = somewhere.build(variants.GOOD), somewhere.build(variants.GOOD)
        somewhere.canary = dict(CANARY)
        for built in (first, second):
            words = ("release", "start", "--commit", built.commit, "--image", built.image)
            done = somewhere.lectern(built, *words)
            assert done.code == 0, done.err
            assert somewhere.one_set() == built.commit[:7]
        assert somewhere.serving()[away] == {f"lectern-chat-{second.commit[:7]}": 100}

        (line,) = handbook_lines("SECOND")
        moved = somewhere.gcloud(f"SECOND={SECOND} RELEASE={first.commit[:7]}; {line}")
        assert moved.code == 0, moved.err
        assert somewhere.serving()[away] == {f"lectern-chat-{first.commit[:7]}": 100}
        assert somewhere.serving()["lectern-chat"] == {f"lectern-chat-{second.commit[:7]}": 100}
        assert somewhere.status(second)["moved_by_hand"] == [away]
        held = somewhere.release(somewhere.build(variants.GOOD))
        assert f"the traffic of {away} was changed by hand" in held[-1].err

        back = somewhere.lectern(second, "rollback")
        assert back.code == 0, back.err
        assert somewhere.one_set() == first.commit[:7]
        # A release that is older than the region: its image is brought there, in a real container.
        back = somewhere.lectern(second, "rollback", "--to", older)
        assert back.code == 0, back.err
        assert f"{away} is younger than release {older}" in back.err
        assert somewhere.one_set() == older
        front = somewhere.run.stores[SECOND].service("lectern-chat").fronts[""].url
        answer = httpx.post(f"{front}/chat", json={"question": QUESTIONS[0][1]}, timeout=30, trust_env=False)
        assert answer.json()["citations"]
