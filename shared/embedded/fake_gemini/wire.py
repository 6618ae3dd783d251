"""The documents that the fake answers with: v1beta JSON, with enums as names or as numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shared.embedded.fake_gemini import words
from shared.embedded.fake_gemini.faults import Fault

Document = dict[str, Any]
MODELS = ("gemini-3.5-flash-lite", "gemini-2.5-flash", "gemini-embedding-001", "gemini-embedding-2")
FULL_SIZE = 3072
_LARGEST_BATCH = 100
_NUMBERS = {
    "finishReason": {"STOP": 1, "MAX_TOKENS": 2, "SAFETY": 3, "RECITATION": 4, "OTHER": 5, "BLOCKLIST": 7},
    "blockReason": {"SAFETY": 1, "OTHER": 2, "BLOCKLIST": 3, "PROHIBITED_CONTENT": 4},
    "category": {"HARM_CATEGORY_DANGEROUS_CONTENT": 10},
    "probability": {"HIGH": 4},
}
_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_RATING = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
_GENERATION_FIELDS = {
    "model", "contents", "systemInstruction", "system_instruction", "generationConfig", "generation_config",
    "safetySettings", "safety_settings", "tools", "toolConfig", "cachedContent",
}  # fmt: skip


class Refusal(Exception):
    """An HTTP error to answer with."""

    def __init__(self, code: int, message: str, details: Sequence[Document] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.document = error(code, message, details)


def error(code: int, message: str, details: Sequence[Document] = ()) -> Document:
    """An error in Google's shape (AIP-193)."""
    inner: Document = {"code": code, "message": message, "status": _STATUS_NAMES.get(code, "UNKNOWN")}
    if details:
        inner["details"] = list(details)
    return {"error": inner}


def throttled(fault: Fault) -> list[Document]:
    """Details of a 429."""
    quota = {"quotaMetric": "generativelanguage.googleapis.com/generate_content_requests"}
    details: list[Document] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [quota]}
    ]
    if fault.retry_delay:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        details.append({"@type": kind, "retryDelay": fault.retry_delay})
    return details


def check_key(sent: str | None, valid: str | None) -> None:
    """Refuse as the real service does: 403 without a key, 400 with a wrong one."""
    if not sent:
        raise Refusal(
            403, "Method doesn't allow unregistered callers (callers without established identity)."
        )
    if valid is not None and sent != valid:
        reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        reason["domain"] = "googleapis.com"
        raise Refusal(400, "API key not valid. Please pass a valid API key.", [reason])


def check_model(model: str, operation: str) -> None:
    if not model.startswith("gemini-"):
        raise Refusal(404, f"models/{model} is not found for API version v1beta, or does no {operation}.")


def listing(path: str) -> Document:
    """The list of models, the only thing that can be fetched."""
    if not path.endswith("/models"):
        raise Refusal(404, "Requested entity was not found.")
    return {"models": [{"name": f"models/{name}", "displayName": name} for name in MODELS]}


def generation(
    model: str, request: Mapping[str, Any], fault: Fault, writer: words.Writer = words.honest
) -> list[Document]:
    """The chunks of a streamed answer; each with the usage so far, the last with a finish reason."""
    prompt, said, finish = _said(request, writer)
    usage = {"promptTokenCount": words.count_tokens(prompt)}
    common = {"modelVersion": model, "responseId": "fake"}
    if fault.blocked_prompt:
        feedback = {"blockReason": fault.blocked_prompt, "safetyRatings": [_RATING]}
        return [{"promptFeedback": feedback, "usageMetadata": usage, **common}]
    chunks: list[Document] = []
    written = 0
    for text in _pieces(said):
        written += words.count_tokens(text)
        counted = {**usage, "candidatesTokenCount": written}
        counted["totalTokenCount"] = counted["promptTokenCount"] + written
        candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
        chunks.append({"candidates": [candidate], "usageMetadata": counted, **common})
    if fault.blocked_answer:
        withheld = {"finishReason": fault.blocked_answer, "index": 0, "safetyRatings": [_RATING]}
        return [*chunks[:1], {"candidates": [withheld], "usageMetadata": usage, **common}]
    chunks[-1]["candidates"][0]["finishReason"] = finish
    return chunks


def whole(chunks: Sequence[Document]) -> Document:
    """The chunks as one generateContent answer."""
    if "candidates" not in chunks[-1]:
        return dict(chunks[-1])
    candidate = dict(chunks[-1]["candidates"][0])
    if "content" in candidate:
        text = "".join(chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks)
        candidate["content"] = {"parts": [{"text": text}], "role": "model"}
    return {**chunks[-1], "candidates": [candidate]}


def embedding(model: str, request: Mapping[str, Any]) -> Document:
    """One vector. As with the real service, gemini-embedding-001 does not normalise smaller ones."""
    text = _text(request.get("content"))
    if not text:
        raise Refusal(400, "* EmbedContentRequest.content: contents is not specified")
    dimensions = int(_either(request, "outputDimensionality", FULL_SIZE))
    scale = 0.7 if dimensions < FULL_SIZE and "embedding-2" not in model else 1.0
    return {"values": [one * scale for one in words.embed(text, dimensions)]}


def embeddings(model: str, request: Mapping[str, Any]) -> Document:
    requests = request.get("requests", [])
    if len(requests) > _LARGEST_BATCH:
        raise Refusal(400, "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch")
    return {"embeddings": [embedding(model, one) for one in requests]}


def spoiled(embedded: Document, how: str) -> Document:
    """A batch of embeddings with something wrong: ``short``, ``fewer``, ``zero``, ``nan``, or nothing."""
    vectors = [one["values"] for one in embedded["embeddings"]]
    changed = {
        "short": [one[:-1] for one in vectors],
        "fewer": vectors[:-1],
        "zero": [[0.0 for _ in one] for one in vectors],
        "nan": [["NaN", *one[1:]] for one in vectors],
    }.get(how, vectors)
    return {"embeddings": [{"values": one} for one in changed]}


def token_count(request: Mapping[str, Any]) -> Document:
    return {"totalTokens": words.count_tokens(_prompt(request))}


def numbered(value: Any) -> Any:
    """The document with enums as numbers, as ``enum-encoding=int`` asks."""
    if isinstance(value, list):
        return [numbered(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _NUMBERS[key].get(one, 0) if key in _NUMBERS and isinstance(one, str) else numbered(one)
        for key, one in value.items()
    }


def _said(request: Mapping[str, Any], writer: words.Writer) -> tuple[str, str, str]:
    """Prompt, answer and finish reason; the answer is cut at maxOutputTokens, a token being a word."""
    if unknown := request.keys() - _GENERATION_FIELDS:
        raise Refusal(400, f'Invalid JSON payload received. Unknown name "{min(unknown)}"')
    contents = request.get("contents") or []
    if not contents:
        raise Refusal(400, "* GenerateContentRequest.contents: contents is not specified")
    config = _either(request, "generationConfig", {})
    most = int(_either(config, "maxOutputTokens", 8192))
    system = _text(_either(request, "systemInstruction", None))
    said = writer(system, _text(contents[-1])).split(" ")
    return _prompt(request), " ".join(said[:most]), "STOP" if len(said) <= most else "MAX_TOKENS"


def _prompt(request: Mapping[str, Any]) -> str:
    inner = request.get("generateContentRequest", request)
    system = _text(_either(inner, "systemInstruction", None))
    return "\n".join([system, *(_text(one) for one in inner.get("contents", []))]).strip()


def _pieces(text: str) -> list[str]:
    return re.findall(r"\S+\s*(?:\S+\s*)?", text) or [""]


def _text(content: Any) -> str:
    parts = content.get("parts", []) if isinstance(content, dict) else []
    return " ".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def _either(fields: Mapping[str, Any], name: str, default: Any) -> Any:
    """A field by its camelCase or its snake_case name: proto JSON takes both."""
    snake = re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)
    return fields.get(name, fields.get(snake, default))
