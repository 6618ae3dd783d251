"""The seams: one Protocol per outside service, with its error contract.

Every method that leaves the process takes a :class:`~shared.resilience.deadline.Deadline` and
raises :class:`~shared.errors.TimedOut` when it is not answered by then. Implementations raise
only the errors of :mod:`shared.errors`; an SDK's own exception never passes a port. None of them
retries by itself unless its docstring says so. All are safe to share among threads.
"""

from __future__ import annotations

from shared.ports.bulk import (
    CollectionFacts,
    PackedPage,
    PackedPoint,
    PackedSparse,
    PackedVector,
    VectorBulk,
)
from shared.ports.fulltext import FullText, PassageStore, PassageText
from shared.ports.jobs import Execution, Jobs
from shared.ports.json import Json
from shared.ports.keys import KeyWrapper
from shared.ports.leases import Holding, Leases
from shared.ports.ledger import ChunkLedger, ChunkRecord, Generation, Ledger, LedgerClock, PageRecord
from shared.ports.measurements import Measurements, Readers
from shared.ports.memory import (
    Allowance,
    AnswerCache,
    AnswerLog,
    AnswerRecord,
    ApiKey,
    ApiKeys,
    CacheEntry,
    Deletion,
    Feedback,
    Kept,
    Memory,
    Opening,
)
from shared.ports.models import Embedder, Embeddings, Generator, Piece, Pieces, Prompt, Turn, Usage
from shared.ports.objects import ObjectInfo, ObjectReader, ObjectStore, ObjectWriter
from shared.ports.questions import AskedQuestion, Questions
from shared.ports.run_starts import RunStart, RunStarts
from shared.ports.runs import (
    Differences,
    PlanCounts,
    Run,
    RunPages,
    RunPhase,
    Runs,
    RunShare,
    RunStatus,
    RunTexts,
    StagedPage,
    TextCosts,
)
from shared.ports.services import (
    Change,
    HttpProbe,
    JobTemplates,
    Revision,
    Service,
    Services,
    Target,
    Template,
)
from shared.ports.suggestions import PageOutline, SuggestedQuestion, SuggestionSet, SuggestionStore
from shared.ports.vectors import (
    CollectionSpec,
    Condition,
    Hit,
    Point,
    PointPage,
    Search,
    SparseVector,
    StoredVectors,
    VectorAdmin,
    VectorSearch,
)
from shared.ports.web import Fetched, Fetcher

__all__ = [
    "Allowance",
    "AnswerCache",
    "AnswerLog",
    "AnswerRecord",
    "ApiKey",
    "ApiKeys",
    "AskedQuestion",
    "CacheEntry",
    "Change",
    "ChunkLedger",
    "ChunkRecord",
    "CollectionFacts",
    "CollectionSpec",
    "Condition",
    "Deletion",
    "Differences",
    "Embedder",
    "Embeddings",
    "Execution",
    "Feedback",
    "Fetched",
    "Fetcher",
    "FullText",
    "Generation",
    "Generator",
    "Hit",
    "Holding",
    "HttpProbe",
    "JobTemplates",
    "Jobs",
    "Json",
    "Kept",
    "KeyWrapper",
    "Leases",
    "Ledger",
    "LedgerClock",
    "Measurements",
    "Memory",
    "ObjectInfo",
    "ObjectReader",
    "ObjectStore",
    "ObjectWriter",
    "Opening",
    "PackedPage",
    "PackedPoint",
    "PackedSparse",
    "PackedVector",
    "PageOutline",
    "PageRecord",
    "PassageStore",
    "PassageText",
    "Piece",
    "Pieces",
    "PlanCounts",
    "Point",
    "PointPage",
    "Prompt",
    "Questions",
    "Readers",
    "Revision",
    "Run",
    "RunPages",
    "RunPhase",
    "RunShare",
    "RunStart",
    "RunStarts",
    "RunStatus",
    "RunTexts",
    "Runs",
    "Search",
    "Service",
    "Services",
    "SparseVector",
    "StagedPage",
    "StoredVectors",
    "SuggestedQuestion",
    "SuggestionSet",
    "SuggestionStore",
    "Target",
    "Template",
    "TextCosts",
    "Turn",
    "Usage",
    "VectorAdmin",
    "VectorBulk",
    "VectorSearch",
]
