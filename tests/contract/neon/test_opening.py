"""What a question needs of the database before its first token: right, and in one round trip."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.adapters.neon.answers import NeonAnswerLog
from shared.adapters.neon.cache import NeonCache
from shared.adapters.neon.opening import open_question
from shared.adapters.neon.pool import Pool
from shared.adapters.neon.url import DatabaseUrl
from shared.ports import Allowance, CacheEntry, Opening, Turn
from tests.contract.neon.test_answers import ANSWER
from tests.contract.neon_servers import TlsServer, soon
from tests.faults import FaultProxy


def ask(
    pool: Pool, *, caller: str = "visitor", allowance: Allowance | None = None, turns: int = 6
) -> Opening:
    return open_question(
        pool,
        soon(),
        caller=caller,
        allowance=allowance or Allowance(capacity=3, per_second=0.001),
        cache_key="key",
        conversation_id=ANSWER.conversation_id,
        questions_back=turns,
    )


def test_a_first_question_finds_nothing(pool: Pool) -> None:
    """A new reader on an empty database may ask."""
    assert replace(ask(pool), epoch=0) == Opening(True, 0.0, None, 0, 0, ())


def test_the_bucket_empties_and_names_the_wait(pool: Pool) -> None:
    """A reader who asks too fast is told for how long to wait; others go on."""
    assert [ask(pool).granted for _ in range(4)] == [True, True, True, False]
    refused = ask(pool)
    assert not refused.granted
    assert 900 < refused.retry_after <= 1000
    assert ask(pool, caller="another").granted


def test_the_bucket_refills_with_time_up_to_its_capacity(pool: Pool) -> None:
    """After a pause a reader may ask again, though a month away saves up no more than a full bucket."""
    for _ in range(4):
        ask(pool)
    age(pool, seconds=1100)
    assert [ask(pool).granted for _ in range(2)] == [True, False]
    age(pool, seconds=86_400 * 30)
    assert [ask(pool).granted for _ in range(4)] == [True, True, True, False]


def age(pool: Pool, seconds: int) -> None:
    with pool.transaction(soon(), "age") as transaction:
        transaction.query(
            "UPDATE rate_limits SET updated_at = updated_at - make_interval(secs => :seconds)",
            seconds=seconds,
        )


def test_many_at_once_share_one_bucket(pool: Pool) -> None:
    """A limit holds across instances: of 12 questions at once, exactly 5 are let through."""
    granted: list[bool] = []

    def many() -> None:
        granted.extend(ask(pool, allowance=Allowance(5, 1e-6)).granted for _ in range(3))

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(granted) == [False] * 7 + [True] * 5


def test_a_kept_answer_is_found_until_it_expires(pool: Pool) -> None:
    """A question that was asked before is answered at once, but not with last month's answer."""
    payload = {"answer": 'it\'s "here"', "citations": ["/a#b"], "n": 1.5}
    cache, epoch = NeonCache(pool), ask(pool).epoch
    cache.put("key", CacheEntry({"old": True}, ("/a",), "g1"), epoch, 60, soon())
    cache.put("key", CacheEntry(payload, ("/a",), "g2"), epoch, 60, soon())
    assert ask(pool).cached == payload
    cache.put("key", CacheEntry(payload, ("/a",), "g2"), epoch, -1, soon())
    assert ask(pool).cached is None


def test_spend_adds_up_by_day_and_month(pool: Pool) -> None:
    """The cap that protects the bill sees today's and this month's money, and not last month's."""
    log = NeonAnswerLog(pool)
    for number in (1, 2, 2):
        log.record(replace(ANSWER, id=f"a{number}", asked_at=time.time(), cost_usd=0.25), soon())
    with pool.transaction(soon(), "yesterday") as transaction:
        transaction.query(
            """INSERT INTO spend SELECT day, 1.0 FROM (VALUES
                (date_trunc('month', now() AT TIME ZONE 'UTC')::date),
                ((date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 day')::date)) AS days (day)
               ON CONFLICT (day) DO UPDATE SET usd = spend.usd + 1.0"""
        )
        first = transaction.query("SELECT extract(day FROM now() AT TIME ZONE 'UTC')::int = 1")[0][0]
    opening = ask(pool)
    assert opening.spent_today == (1.5 if first else 0.5)
    assert opening.spent_this_month == 1.5


def test_history_is_the_last_questions_in_order(pool: Pool) -> None:
    """A follow-up is understood from what was said last, oldest first."""
    log = NeonAnswerLog(pool)
    for number in (2, 0, 3, 1):
        log.record(
            replace(
                ANSWER, id=f"a{number}", asked_at=1000.0 + number, question=f"q{number}", answer=f"a{number}"
            ),
            soon(),
        )
    log.record(replace(ANSWER, id="other", conversation_id="another"), soon())
    turns = (Turn("user", "q2"), Turn("model", "a2"), Turn("user", "q3"), Turn("model", "a3"))
    assert ask(pool, turns=2).history == turns


@pytest.fixture
def proxy(tls: TlsServer) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", tls.port)) as made:
        yield made


def test_opening_and_recording_cost_one_round_trip_each(proxy: FaultProxy, tls_database: DatabaseUrl) -> None:
    """The reader's first token waits for the database's distance once, counted on the wire."""
    with Pool(replace(tls_database, port=proxy.port)) as pool:
        ask(pool)
        NeonAnswerLog(pool).record(ANSWER, soon())
        for call in (lambda: ask(pool), lambda: NeonAnswerLog(pool).record(ANSWER, soon())):
            before = proxy.turns
            call()
            assert proxy.turns - before == 1
        assert proxy.connections == 1
