"""LangChain's Markdown splitters on the same texts; run by the peer's own interpreter.

Prints, for each way, the CPU seconds of each round and the number of chunks of one copy.
"""

import json
import sys
import time
from pathlib import Path

from langchain_text_splitters import MarkdownHeaderTextSplitter, MarkdownTextSplitter

HEADERS = [("#" * level, f"h{level}") for level in range(1, 7)]


def main() -> None:
    texts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    copies, rounds = int(sys.argv[2]), int(sys.argv[3])
    by_headers = MarkdownHeaderTextSplitter(HEADERS)
    by_size = MarkdownTextSplitter(chunk_size=1000, chunk_overlap=0)
    ways = {
        "langchain, MarkdownHeaderTextSplitter": by_headers.split_text,
        "langchain, MarkdownTextSplitter": by_size.split_text,
        "langchain, headers then size": lambda text: by_size.split_documents(by_headers.split_text(text)),
    }
    found = {}
    for name, way in ways.items():
        chunks = sum(len(way(text)) for text in texts)
        seconds = []
        for _ in range(rounds):
            started = time.process_time()
            for text in texts * copies:
                way(text)
            seconds.append(time.process_time() - started)
        found[name] = (seconds, chunks)
    print(json.dumps(found))


main()
