"""What is sent to Gemini and what comes back, apart from how it travels (v1beta JSON)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.adapters.gemini.errors import blocked, garbled, stream_error
from shared.adapters.gemini.prices import Prices
from shared.ports import Piece, Prompt, Usage

GENERATE = "generate"
EMBED = "embed"
QUERY = "RETRIEVAL_QUERY"
DOCUMENT = "RETRIEVAL_DOCUMENT"
LARGEST_BATCH = 100
_ANSWERS = ("STOP", "MAX_TOKENS")
_CHARACTERS_A_TOKEN = 4  # Google's rule of thumb, for embedding models that do not count for us


def model_path(model: str) -> str:
    """``models/…``, whichever way the setting was written."""
    return "models/" + model.removeprefix("models/")


def generation_body(prompt: Prompt) -> dict[str, Any]:
    """The body of a generateContent call."""
    body: dict[str, Any] = {
        "contents": [{"role": turn.role, "parts": [{"text": clean(turn.text)}]} for turn in prompt.turns],
        "generationConfig": {
            "maxOutputTokens": prompt.max_output_tokens,
            "temperature": prompt.temperature,
            "candidateCount": 1,
        },
    }
    if prompt.system:
        body["systemInstruction"] = {"parts": [{"text": clean(prompt.system)}]}
    return body


def embedding_requests(model: str, dimensions: int, task: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    """The requests of one batchEmbedContents call.

    gemini-embedding-2 takes the task as words before the text, the models before it as a field.
    """
    by_words = "embedding-2" in model
    common: dict[str, Any] = {"model": model_path(model), "outputDimensionality": dimensions}
    if not by_words:
        common["taskType"] = task
    words = {QUERY: "task: search result | query: ", DOCUMENT: "title: none | text: "}[task]
    return [
        {**common, "content": {"parts": [{"text": clean(words + text if by_words else text)}]}}
        for text in texts
    ]


def clean(text: str) -> str:
    """``text`` without halves of surrogate pairs, which JSON can carry and the service refuses."""
    return text.encode("utf-8", "replace").decode("utf-8")


def estimated_tokens(texts: Sequence[str]) -> int:
    return sum(math.ceil(len(text) / _CHARACTERS_A_TOKEN) for text in texts)


def unit_vectors(raw: Sequence[Any], count: int, dimensions: int) -> list[tuple[float, ...]]:
    """Each vector scaled to length 1: the service normalises only vectors of full size.

    Raises ``Garbled`` for a wrong count, a wrong size, a number that is not finite, or all zeros.
    """
    if len(raw) != count:
        raise garbled(EMBED, f"{len(raw)} vectors for {count} texts")
    return [_unit(vector, dimensions) for vector in raw]


def _unit(vector: Any, dimensions: int) -> tuple[float, ...]:
    try:
        numbers = [float(one) for one in vector]
    except (TypeError, ValueError) as error:
        raise garbled(EMBED, "a vector is not a list of numbers") from error
    if len(numbers) != dimensions:
        raise garbled(EMBED, f"a vector of {len(numbers)} dimensions, {dimensions} were asked for")
    length = math.hypot(*numbers)
    if not math.isfinite(length) or length == 0:
        raise garbled(EMBED, "a vector that is zero or not finite")
    return tuple(one / length for one in numbers)


@dataclass(slots=True)
class AnswerReader:
    """Reads the chunks of one streamed answer; knows at each moment whether it is complete."""

    prices: Prices
    key: str
    finish_reason: str = ""
    input_tokens: int = 0
    output_tokens: int = 0

    def read(self, chunk: Any) -> str:
        """The text of one chunk (may be empty).

        Raises the error that the chunk reports, ``Blocked`` when a filter withheld the prompt or the
        rest of the answer, ``Garbled`` when it has not the documented form.
        """
        if not isinstance(chunk, dict):
            raise garbled(GENERATE, "a chunk is not an object")
        if "error" in chunk:
            raise stream_error(GENERATE, chunk["error"], self.key)
        if not {"candidates", "promptFeedback", "usageMetadata"} & chunk.keys():
            raise garbled(GENERATE, "a chunk without candidates")
        try:
            return self._read(chunk)
        except (TypeError, KeyError, AttributeError, IndexError, ValueError) as error:
            raise garbled(GENERATE, f"a chunk of another form ({type(error).__name__})") from error

    def usage(self) -> Usage | None:
        """What was used so far; None until the service has said."""
        counted = self.input_tokens or self.output_tokens
        return self.prices.usage(self.input_tokens, self.output_tokens) if counted else None

    def last_piece(self) -> Piece:
        return Piece("", self.prices.usage(self.input_tokens, self.output_tokens), self.finish_reason)

    def _read(self, chunk: Mapping[str, Any]) -> str:
        self._count(chunk.get("usageMetadata", {}))
        reason = chunk.get("promptFeedback", {}).get("blockReason")
        if reason:
            raise blocked(GENERATE, "the question", str(reason))
        candidates = chunk.get("candidates") or [{}]
        return self._candidate(candidates[0])

    def _candidate(self, candidate: Mapping[str, Any]) -> str:
        reason = str(candidate.get("finishReason", ""))
        if reason and reason != "FINISH_REASON_UNSPECIFIED":
            # Every other reason (SAFETY, RECITATION, BLOCKLIST, …) means that text was withheld.
            if reason not in _ANSWERS:
                raise blocked(GENERATE, "the answer", reason)
            self.finish_reason = reason
        parts = candidate.get("content", {}).get("parts", [])
        return "".join(part.get("text", "") for part in parts if not part.get("thought"))

    def _count(self, usage: Mapping[str, Any]) -> None:
        """Counts are totals so far, so that the last one holds. Thinking is billed as output."""
        self.input_tokens = int(usage.get("promptTokenCount", self.input_tokens))
        if "candidatesTokenCount" in usage or "thoughtsTokenCount" in usage:
            written = int(usage.get("candidatesTokenCount", 0))
            self.output_tokens = written + int(usage.get("thoughtsTokenCount", 0))
