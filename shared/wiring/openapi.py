"""The API's description, ``docs/reference/openapi.json``. After a change of messages or routes:

``python -m shared.wiring.openapi > docs/reference/openapi.json``
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from shared.answering.answers import Answer, Citation
from shared.answering.steps import Started, Text
from shared.http.errors import ErrorBody
from shared.http.openapi import Operation, Parameter, document, encode
from shared.telemetry.metrics import CONTENT_TYPE
from shared.wiring.chat_api import ChatBody, Done, FeedbackBody, FeedbackReply, Ready
from shared.wiring.ingest_api import IngestBody, RunReply
from shared.wiring.suggested import Suggestions

_WRONG = {400: "The body or a parameter does not have the documented form."}
_ACCESS = {
    401: "Nobody, or somebody unknown, asks (modes key, jwt, platform).",
    403: "A page of a site that is not on the list asks (mode public).",
    429: "The limit is used up; Retry-After says for how long.",
    503: "Not possible just now; Retry-After says when to try again.",
}
_BODY = {413: "The body is too long.", 415: "The body is not announced as JSON."}


class Status(msgspec.Struct, frozen=True):
    """How the process is."""

    status: str


OPERATIONS = (
    Operation(
        "POST",
        "/chat",
        "Ask a question; as events when Accept prefers text/event-stream, else as JSON.",
        body=ChatBody,
        replies={200: Answer},
        events={"meta": Started, "token": Text, "citation": Citation, "done": Done, "error": ErrorBody},
        errors=_WRONG | _ACCESS | _BODY | {504: "The time for an answer is used up."},
    ),
    Operation(
        "GET",
        "/chat/{answer_id}",
        "Pick up an answer whose stream broke.",
        replies={200: Answer},
        errors=_WRONG | _ACCESS | {404: "There is no such answer."},
        parameters=[Parameter("answer_id", "path", "As it came in the event meta.", "^[A-Za-z0-9_-]{8,64}$")],
    ),
    Operation(
        "POST",
        "/feedback",
        "Give a verdict on an answer; a second one replaces the first.",
        body=FeedbackBody,
        replies={200: FeedbackReply},
        errors=_WRONG | _ACCESS | _BODY,
    ),
    Operation(
        "GET",
        "/suggestions",
        "Questions to start with, for the page that the reader is on.",
        replies={200: Suggestions},
        errors=_WRONG | _ACCESS,
        parameters=[
            Parameter("url", "query", "Address of the page.", "^.{0,2000}$"),
            Parameter("version", "query", "Docs version of the page.", "^.{0,100}$"),
            Parameter("locale", "query", "Language of the page.", "^.{0,35}$"),
        ],
    ),
    Operation(
        "DELETE",
        "/conversations/{conversation_id}",
        "Delete what was said in a conversation; 202 when that waits for the database.",
        replies={202: None, 204: None},
        errors=_WRONG | _ACCESS,
        parameters=[
            Parameter("conversation_id", "path", "As the page chose it.", "^[A-Za-z0-9_-]{16,64}$"),
        ],
    ),
    Operation("GET", "/metrics", "Figures for Prometheus.", replies={200: None}, text=CONTENT_TYPE),
    Operation("GET", "/live", "Whether the process answers; touches nothing.", replies={200: Status}),
    Operation(
        "GET",
        "/ready",
        "Whether a question can be answered now.",
        replies={200: Ready},
        errors={503: "No question can be answered now."},
    ),
)
"""Every operation of the function ``chat``."""

_CALLER = {
    401: "No identity token of an allowed caller, and no deploy key.",
    403: "The token is another service's, or its owner may not call.",
}
INGEST = (
    Operation(
        "POST",
        "/ingest",
        "Bring the index to what the site says now; 202 while a run is under way, be it an earlier one.",
        body=IngestBody,
        needs_body=False,
        replies={200: RunReply, 202: RunReply},
        errors=_WRONG
        | _CALLER
        | _BODY
        | {
            409: "No site is configured, more pages would be removed than may be, or a removal is allowed "
            "while a run is under way.",
            503: "Not possible just now; Retry-After says when to try again.",
            504: "The plan did not fit into the request.",
        },
    ),
    Operation(
        "GET",
        "/ingest/{run}",
        "How a run is doing.",
        replies={200: RunReply},
        errors=_CALLER | {404: "There is no such run."},
        parameters=[Parameter("run", "path", "As POST /ingest told it.", "^[A-Za-z0-9-]{1,64}$")],
    ),
)
"""Every operation of the function ``ingest``."""


def described() -> dict[str, Any]:
    """The OpenAPI document."""
    words = "Questions to a documentation site, answered with proof. Errors have one shape everywhere."
    return document("Lectern", "1", words, [*OPERATIONS, *INGEST])


if __name__ == "__main__":
    sys.stdout.buffer.write(encode(described()))
