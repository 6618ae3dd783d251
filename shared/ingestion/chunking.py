"""Cuts pages into passages: one a section, long sections at the borders of their blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shared.retrieval.chunks import Block, Chunk, Page, Section, point_id


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """Lengths in characters. A passage grows to ``most``; a block longer than ``block`` is cut."""

    most: int = 1_000
    block: int = 2_000


DEFAULT_SIZE = ChunkSize()


def chunk_page(page: Page, size: ChunkSize = DEFAULT_SIZE) -> tuple[Chunk, ...]:
    """The passages of a page in reading order. Their ids follow from URL, heading and text alone; a
    passage that a section repeats word for word stands once.
    """
    chunks: dict[str, Chunk] = {}
    for section in page.sections or (Section((), "", ()),):
        for blocks in _groups(section, size):
            chunk = _chunk(page, section, blocks, len(chunks))
            chunks.setdefault(chunk.id, chunk)
    return tuple(chunks.values())


def _chunk(page: Page, section: Section, blocks: Sequence[Block], position: int) -> Chunk:
    text = "\n\n".join(block.verbatim for block in blocks)
    return Chunk(
        id=point_id(page.url, "passage", (*section.headings, section.anchor), text),
        page_url=page.url,
        title=page.title,
        headings=section.headings,
        anchor=section.anchor,
        text=text,
        prose="\n\n".join(block.text for block in blocks if block.kind != "code"),
        position=position,
        version=page.version,
        locale=page.locale,
    )


def _groups(section: Section, size: ChunkSize) -> Iterator[tuple[Block, ...]]:
    """Runs of blocks that fit; a section without blocks is one empty run. Labels stay with what they name."""
    group: list[Block] = []
    for block in (part for whole in section.blocks for part in _parts(whole, size.block)):
        if sum(len(one.text) for one in group) + len(block.text) > size.most:
            end = _before_labels(group) or len(group)
            if end:
                yield tuple(group[:end])
            group = group[end:]
        group.append(block)
    if group or not section.blocks:
        yield tuple(group)


def _before_labels(group: Sequence[Block]) -> int:
    """Where the labels begin that end the group; its length when it ends otherwise."""
    end = len(group)
    while end and group[end - 1].kind == "label":
        end -= 1
    return end


def _parts(block: Block, most: int) -> Iterator[Block]:
    """The block, cut at line ends, or at sentence ends or anywhere when a line is too long."""
    if len(block.text) <= most:
        yield block
        return
    lines: list[str] = []
    length = 0
    for line in (part for whole in block.text.split("\n") for part in _short_lines(whole, most)):
        if lines and length + len(line) > most:
            yield replace(block, text="\n".join(lines))
            lines, length = [], 0
        lines.append(line)
        length += len(line) + 1
    yield replace(block, text="\n".join(lines))


_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])")


def _short_lines(line: str, most: int) -> Iterator[str]:
    if len(line) <= most:
        yield line
        return
    for sentence in _SENTENCE.split(line):
        for start in range(0, max(len(sentence), 1), most):
            yield sentence[start : start + most]
