"""Gemini's documents, read and written without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.gemini.errors import answer_error, stream_error
from shared.adapters.gemini.messages import AnswerReader, unit_vectors
from shared.adapters.gemini.prices import Prices
from shared.adapters.gemini.sse import event_data
from shared.errors import AccessDenied, DependencyError, Garbled, Missing, Overloaded, Rejected, Throttled

RETRY = "type.googleapis.com/google.rpc.RetryInfo"


def failure(status: int, headers: dict[str, str] | None = None, **error: Any) -> DependencyError:
    return answer_error("generate", status, json.dumps({"error": error}).encode(), headers or {}, "s3cret")


@given(cuts=st.lists(st.integers(1, 60), max_size=20))
def test_events_are_whole_wherever_the_network_splits_them(cuts: list[int]) -> None:
    """Answers would break at packet borders, more often for readers far away."""
    body = b': hello\r\n\r\ndata: {"a":\ndata:  "\xe6\xbc\xa2"}\r\n\r\nevent: x\ndata:2\n\ndata: lost'
    chunks, rest = [], body
    for cut in cuts:
        chunks.append(rest[:cut])
        rest = rest[cut:]
    assert list(event_data("generate", [*chunks, rest])) == [b'{"a":\n "\xe6\xbc\xa2"}', b"2"]


def test_an_event_without_an_end_is_refused() -> None:
    """A broken server would fill the memory of the instance."""
    with pytest.raises(Garbled, match="event"):
        list(event_data("generate", (b"x" * (1 << 20) for _ in range(10))))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, AccessDenied),
        (403, AccessDenied),
        (404, Missing),
        (413, Rejected),
        (429, Throttled),
        (500, Overloaded),
        (502, Overloaded),
        (504, Overloaded),
        (302, Garbled),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[DependencyError]) -> None:
    """What can be tried again would be given up, or the other way round."""
    assert type(failure(status, message="no")) is kind
    assert type(answer_error("generate", status, b"<html>", {}, "")) is kind


@pytest.mark.parametrize(
    ("delay", "headers", "expected"),
    [
        ("7s", {"retry-after": "3"}, 7.0),
        ("0.25s", {}, 0.25),
        ("", {"retry-after": "3"}, 3.0),
        ("soon", {}, None),
        ("-1s", {}, None),
        ("infs", {}, None),
        (
            "",
            {"retry-after": "Sun, 06 Nov 1994 08:49:47 GMT", "date": "Sun, 06 Nov 1994 08:49:37 GMT"},
            10.0,
        ),
        ("", {"retry-after": "Sun, 06 Nov 1994 08:49:47 GMT"}, None),
    ],
)
def test_the_delay_is_read_in_each_form(delay: str, headers: dict[str, str], expected: float | None) -> None:
    """We would come back too early and be refused again, or wait for ever."""
    error = failure(429, headers, message="slow", details=[{"@type": RETRY, "retryDelay": delay}])
    assert error.retry_after == expected


def test_the_key_in_a_message_is_taken_out() -> None:
    """A suspended project's message quotes the key, and messages are logged."""
    error = failure(403, message="Consumer 'api_key:s3cret' has been suspended.")
    assert "s3cret" not in str(error)
    assert "suspended" in str(error)


@pytest.mark.parametrize("error", [None, [], "x", {}, {"code": "x"}, {"code": 7, "details": 3}])
def test_an_error_object_of_any_form_is_an_error(error: Any) -> None:
    """An error that we cannot read would crash the answer instead of taking the next rung."""
    assert isinstance(stream_error("generate", error, ""), Overloaded)


FIELDS = [
    *("candidates", "content", "parts", "text", "finishReason", "promptFeedback", "blockReason"),
    *("usageMetadata", "promptTokenCount", "candidatesTokenCount", "error", "thought"),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("STOP"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(chunk=json_values)
def test_a_chunk_of_any_form_is_text_or_an_error_of_ours(chunk: Any) -> None:
    """A strange answer would end a request with a stack trace."""
    reader = AnswerReader(Prices(), "")
    try:
        assert isinstance(reader.read(chunk), str)
    except DependencyError:
        return
    assert isinstance(reader.last_piece().text, str)


def test_thoughts_are_paid_for_but_not_shown() -> None:
    """Readers would see the model's notes to itself, and the spend meter would not see their price."""
    reader = AnswerReader(Prices(1, 2), "")
    parts = [{"text": "hm", "thought": True}, {"text": "Yes."}]
    usage = {"promptTokenCount": 1_000_000, "candidatesTokenCount": 100_000, "thoughtsTokenCount": 400_000}
    text = reader.read(
        {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "usageMetadata": usage}
    )
    assert text == "Yes."
    last = reader.last_piece()
    assert last.usage is not None
    assert (last.usage.output_tokens, last.usage.cost_usd) == (500_000, pytest.approx(2.0))


def test_smaller_vectors_are_scaled_to_one() -> None:
    """Cosine and dot product would disagree: the service normalises only vectors of full size."""
    assert unit_vectors([[3.0, 4.0]], 1, 2) == [(0.6, 0.8)]


def test_rest_loads_no_package_of_googles() -> None:
    """Each cold start of chat would pay most of a second for code it does not use."""
    code = (
        "import sys; before = set(sys.modules); import shared.adapters.gemini.rest;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "bad = new & {'google', 'grpc', 'requests', 'numpy'}; assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_the_second_client_is_imported_when_it_is_called() -> None:
    """Choosing REST would still import the package that it replaces."""
    code = (
        "import sys; before = set(sys.modules);"
        "from shared.adapters.gemini.generativeai import GenerativeAIEmbedder;"
        "GenerativeAIEmbedder('k', 'm').model;"
        "assert not [n for n in set(sys.modules) - before if n.split('.')[0] in ('google', 'requests')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
