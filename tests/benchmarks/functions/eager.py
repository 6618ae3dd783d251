"""The answer of chat as tutorials write it: the vendors' SDKs, imported where modules import.

It does what chat does for a first question (reads the alias' collection, embeds, searches, generates from
passages, records the answer), so that the difference is how, not what.
"""

from __future__ import annotations

import json
import os
import uuid
import warnings
from typing import Any

warnings.simplefilter("ignore")

import google.generativeai as genai  # noqa: E402
import pg8000.native  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import storage  # noqa: E402
from qdrant_client import QdrantClient, models  # noqa: E402

ALIAS = "lectern-live"

genai.configure(
    api_key=os.environ["GEMINI_API_KEY"],
    transport="rest",
    client_options={"api_endpoint": os.environ["LECTERN_GEMINI_BASE_URL"]},
)
bucket = storage.Client("benchmark", AnonymousCredentials()).bucket("benchmark")
qdrant = QdrantClient(url=os.environ["QDRANT_URL"], check_compatibility=False)
model = genai.GenerativeModel("gemini-3.5-flash-lite")


def eager(request: Any) -> str:
    """``POST /chat``."""
    question = request.get_json()["question"]
    aliases = {each.alias_name: each.collection_name for each in qdrant.get_aliases().aliases}
    embedded = genai.embed_content(
        model="models/gemini-embedding-001",
        content=[question],
        task_type="retrieval_query",
        output_dimensionality=768,
    )["embedding"][0]
    query = models.QueryRequest(query=embedded, using="dense", limit=8, with_payload=True)
    points = qdrant.query_batch_points(aliases[ALIAS], [query])[0].points
    passages = [
        f"[{n}] {point.payload.get('text', '')}" for n, point in enumerate(points, 1) if point.payload
    ]
    prompt = "\n".join(["Answer from these passages.", *passages, f"Question: {question}"])
    text = "".join(chunk.text for chunk in model.generate_content(prompt, stream=True))
    recorded = _record(question, text)
    return json.dumps({"kind": "generated", "answer": text, "recorded": recorded})


def _record(question: str, text: str) -> bool:
    name = str(uuid.uuid4())
    folder = os.environ["POSTGRES_SOCKETS"]
    database = pg8000.native.Connection("lectern", unix_sock=f"{folder}/.s.PGSQL.5432", database="postgres")
    database.run("INSERT INTO conversations (id, started_at) VALUES (:id, now())", id=name)
    database.run(
        "INSERT INTO answers"
        " (id, conversation_id, asked_at, question, kind, answer, citations, generation_id, rung)"
        " VALUES (:id, :id, now(), :question, 'generated', :answer, '{}', '', 'eager')",
        id=name,
        question=question,
        answer=text,
    )
    database.close()
    return True
