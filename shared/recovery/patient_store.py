"""A bucket that is asked again when it fails for the moment: a backup of an hour must outlast one bad answer.

What is tried again is a call that can be: reading, listing, deleting, writing a small object, beginning to
write a large one (its chunks are tried again below, where the upload session lives), and the next block of an
object that is being read.
"""

from __future__ import annotations

import builtins
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from shared.errors import Interrupted, PreconditionFailed
from shared.ports import ObjectInfo, ObjectReader, ObjectStore, ObjectWriter
from shared.recovery.patience import Patient
from shared.resilience.deadline import Deadline
from shared.resilience.retry import Sleep

T = TypeVar("T")


class PatientStore:
    """Implements :class:`~shared.ports.ObjectStore` over another one."""

    def __init__(self, store: ObjectStore, *, jitter: random.Random, sleep: Sleep) -> None:
        self._store = store
        self._jitter = jitter
        self._sleep = sleep

    def put(
        self,
        name: str,
        data: bytes,
        deadline: Deadline,
        *,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        tries = 0

        def call(step: Deadline) -> ObjectInfo:
            nonlocal tries
            tries += 1
            try:
                return self._store.put(
                    name, data, step, if_generation_match=if_generation_match, metadata=metadata
                )
            except PreconditionFailed:
                # The answer to the try before may have been lost: then what is there is what was sent.
                if tries > 1 and (found := self._store.get(name, step))[0] == data:
                    return found[1]
                raise

        return self._patiently(call, deadline)

    def open_write(
        self,
        name: str,
        deadline: Deadline,
        *,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[ObjectWriter]:
        return self._writing(name, deadline, if_generation_match, metadata)

    @contextmanager
    def _writing(
        self, name: str, deadline: Deadline, match: int | None, metadata: Mapping[str, str] | None
    ) -> Iterator[ObjectWriter]:
        def begin(_step: Deadline) -> tuple[AbstractContextManager[ObjectWriter], ObjectWriter]:
            opened = self._store.open_write(name, deadline, if_generation_match=match, metadata=metadata)
            return opened, opened.__enter__()

        opened, writer = self._patiently(begin, deadline)
        try:
            yield writer
        except BaseException as error:
            if not opened.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            opened.__exit__(None, None, None)

    def get(self, name: str, deadline: Deadline) -> tuple[bytes, ObjectInfo]:
        return self._patiently(lambda step: self._store.get(name, step), deadline)

    def open_read(
        self, name: str, deadline: Deadline, *, generation: int | None = None
    ) -> AbstractContextManager[ObjectReader]:
        return self._reading(name, deadline, generation)

    @contextmanager
    def _reading(self, name: str, deadline: Deadline, generation: int | None) -> Iterator[ObjectReader]:
        def begin(_step: Deadline) -> tuple[AbstractContextManager[ObjectReader], ObjectReader]:
            opened = self._store.open_read(name, deadline, generation=generation)
            return opened, opened.__enter__()

        opened, reader = self._patiently(begin, deadline)
        try:
            yield _Reader(reader, self._patient(deadline))
        finally:
            opened.__exit__(None, None, None)

    def stat(self, name: str, deadline: Deadline) -> ObjectInfo:
        return self._patiently(lambda step: self._store.stat(name, step), deadline)

    def list(self, prefix: str, deadline: Deadline, *, versions: bool = False) -> Iterator[ObjectInfo]:
        def call(step: Deadline) -> builtins.list[ObjectInfo]:
            return builtins.list(self._store.list(prefix, step, versions=versions))

        yield from self._patiently(call, deadline)

    def delete(self, name: str, deadline: Deadline, *, if_generation_match: int | None = None) -> None:
        self._patiently(
            lambda step: self._store.delete(name, step, if_generation_match=if_generation_match), deadline
        )

    def _patiently(self, call: Callable[[Deadline], T], deadline: Deadline) -> T:
        return self._patient(deadline)(call)

    def _patient(self, deadline: Deadline) -> Patient:
        return Patient(deadline, jitter=self._jitter, sleep=self._sleep)


class _Reader:
    """Implements :class:`~shared.ports.ObjectReader`: a block that did not come is asked for again."""

    def __init__(self, reader: ObjectReader, patient: Patient) -> None:
        self._reader = reader
        self._patient = patient

    @property
    def info(self) -> ObjectInfo:
        return self._reader.info

    def read(self, size: int = -1) -> bytes:
        def call(_step: Deadline) -> bytes | Interrupted:
            try:
                return self._reader.read(size)
            except Interrupted as error:  # the object ended, or was replaced: asking again does not help
                return error

        found = self._patient(call)
        if isinstance(found, Interrupted):
            raise found
        return found
