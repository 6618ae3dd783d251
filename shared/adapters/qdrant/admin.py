"""What ingestion and recovery need of Qdrant, through qdrant-client."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from ssl import SSLContext
from types import TracebackType
from typing import Self

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from shared.adapters.qdrant import convert, errors, validate
from shared.adapters.qdrant.requests import filter_body
from shared.adapters.qdrant.rest import checked_url
from shared.errors import Missing, PreconditionFailed
from shared.ports import CollectionSpec, Condition, Point, PointPage, SparseVector
from shared.resilience.deadline import Deadline

_KEPT = 300.0  # seconds an idle connection is kept; the client's own default is 5


class QdrantAdmin:
    """:class:`~shared.ports.VectorAdmin` and :class:`~shared.ports.StoredVectors` on a Qdrant at ``url``.

    ``replication_factor`` and ``write_consistency_factor`` are given to collections at creation.
    ``most_seconds`` bounds each request whatever the deadline allows. ``verify`` replaces the
    system's certificate authorities. Each batch of points is checked before it is sent.
    """

    def __init__(
        self,
        url: str,
        api_key: str = "",
        *,
        replication_factor: int = 1,
        write_consistency_factor: int = 1,
        most_seconds: float = 60.0,
        verify: SSLContext | None = None,
    ) -> None:
        self._replication_factor = replication_factor
        self._write_consistency_factor = write_consistency_factor
        self._most_seconds = most_seconds
        self._call = threading.local()
        self._client = QdrantClient(
            url=checked_url(url),
            port=None,  # the client would put 6333 where the address names none
            headers={"api-key": api_key} if api_key else None,  # as a header it works on loopback without TLS
            check_compatibility=False,
            limits=httpx.Limits(max_connections=16, keepalive_expiry=_KEPT),
            verify=True if verify is None else verify,
            trust_env=False,
        )
        self._client.http.client.add_middleware(self._keep_deadline)

    def close(self) -> None:
        """End the kept connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def create(self, collection: str, spec: CollectionSpec, deadline: Deadline) -> None:
        """Make the collection and its payload indexes, those that are not there yet.

        Raises ``Rejected``, naming the difference, when it exists with other vectors.
        """
        operation = f"creation of {collection}"
        validate.check_name(operation, collection)
        with self._calling(operation, deadline):
            try:
                there = convert.spec_of(self._client.get_collection(collection))
            except UnexpectedResponse as error:
                if error.status_code != httpx.codes.NOT_FOUND:
                    raise
                there = self._create(collection, spec)
            difference = convert.difference(there, spec)
            if difference:
                raise errors.rejected(operation, f"it exists with other vectors: {difference}")
            for key in set(spec.indexed) - set(there.indexed):
                schema = models.PayloadSchemaType.KEYWORD
                self._client.create_payload_index(collection, key, field_schema=schema, wait=True)

    def _create(self, collection: str, spec: CollectionSpec) -> CollectionSpec:
        """Make it; what is there afterwards, be it made by us or by somebody a moment before us."""
        try:
            self._client.create_collection(
                collection,
                vectors_config=convert.dense_params(spec),
                sparse_vectors_config=convert.sparse_params(spec),
                replication_factor=self._replication_factor,
                write_consistency_factor=self._write_consistency_factor,
            )
        except UnexpectedResponse as error:
            if error.status_code != httpx.codes.CONFLICT:
                raise
        return convert.spec_of(self._client.get_collection(collection))

    def drop(self, collection: str, deadline: Deadline) -> None:
        """Delete the collection, and the aliases that point at it."""
        with self._calling(f"deletion of {collection}", deadline):
            self._client.delete_collection(collection)  # answers false, not 404, when there is none

    def collections(self, deadline: Deadline) -> list[str]:
        with self._calling("list of collections", deadline):
            return sorted(each.name for each in self._client.get_collections().collections)

    def upsert(self, collection: str, points: Iterable[Point], deadline: Deadline) -> int:
        """Write the points in batches of at most 256 points and about 4 MB of JSON."""
        operation = f"upsert into {collection}"
        written = 0
        with self._calling(operation, deadline):
            spec = convert.spec_of(self._client.get_collection(collection))
            for batch in convert.batches(points):
                for point in batch:
                    validate.check_point(operation, point, spec)
                structs = [convert.point_struct(point) for point in batch]
                self._client.upsert(collection, structs, wait=True)
                written += len(batch)
        return written

    def delete(
        self,
        collection: str,
        deadline: Deadline,
        *,
        conditions: Sequence[Condition],
        keep_ids: Sequence[str] = (),
    ) -> None:
        """One request; ``Rejected`` without a condition, since that would mean everything."""
        operation = f"deletion in {collection}"
        if not conditions:
            raise errors.rejected(operation, "no condition was given")
        validate.check_conditions(operation, conditions)
        kept = [validate.checked_id(operation, identity) for identity in keep_ids]
        with self._calling(operation, deadline):
            chosen = models.Filter.model_validate(filter_body(conditions, kept))
            self._client.delete(collection, models.FilterSelector(filter=chosen), wait=True)

    def scroll(
        self,
        collection: str,
        deadline: Deadline,
        *,
        offset: str | None = None,
        limit: int = 256,
        with_vectors: bool = False,
    ) -> PointPage:
        operation = f"scroll through {collection}"
        if limit < 1:
            raise errors.rejected(operation, f"limit {limit} is below 1")
        start = None if offset is None else validate.checked_id(operation, offset)
        with self._calling(operation, deadline):
            records, following = self._client.scroll(
                collection, offset=start, limit=limit, with_payload=True, with_vectors=with_vectors
            )
            points = tuple(convert.point_of(record) for record in records)
            return PointPage(points, None if following is None else str(following))

    def dense(
        self, collection: str, using: str, ids: Sequence[str], deadline: Deadline
    ) -> dict[str, tuple[float, ...]]:
        """See :class:`~shared.ports.StoredVectors`; one request for all ``ids``."""
        operation = f"retrieve vectors of {collection}"
        wanted = [validate.checked_id(operation, identity) for identity in ids]
        with self._calling(operation, deadline):
            records = self._client.retrieve(collection, wanted, with_payload=False, with_vectors=[using])
            points = [convert.point_of(record) for record in records]
        return {
            point.id: tuple(vector)
            for point in points
            if (vector := point.vectors.get(using)) is not None and not isinstance(vector, SparseVector)
        }

    def count(self, collection: str, deadline: Deadline) -> int:
        with self._calling(f"count of {collection}", deadline):
            return self._client.count(collection, exact=True).count

    def switch_alias(self, alias: str, collection: str, deadline: Deadline) -> None:
        """Point ``alias`` at ``collection``.

        A failing batch leaves its earlier operations applied in Qdrant, which would lose the alias:
        so that the collection exists is asked first.
        """
        operation = f"switch of alias {alias} to {collection}"
        validate.check_name(operation, alias)
        with self._calling(operation, deadline):
            if collection not in {each.name for each in self._client.get_collections().collections}:
                raise Missing(errors.SERVICE, operation, f"there is no collection {collection}")
            present = self._aliases()
            if present.get(alias) != collection:
                operations = convert.alias_switch(alias, collection, replaces=alias in present)
                self._client.update_collection_aliases(operations)
                present = self._aliases()
        if present.get(alias) != collection:
            found = f"it points at {present.get(alias, 'nothing')}, somebody else changed it"
            raise PreconditionFailed(errors.SERVICE, operation, found)

    def _aliases(self) -> dict[str, str]:
        return {each.alias_name: each.collection_name for each in self._client.get_aliases().aliases}

    @contextmanager
    def _calling(self, operation: str, deadline: Deadline) -> Iterator[None]:
        """Requests made inside keep the deadline; the client's exceptions leave as ours."""
        self._call.operation, self._call.deadline = operation, deadline
        try:
            yield
        except UnexpectedResponse as error:
            raise errors.of_status(operation, error.status_code or 0, error.content, error.headers) from error
        except ResponseHandlingException as error:
            raise _of_handling(operation, error.source) from error
        except ResourceExhaustedResponse as error:
            raise errors.throttled(operation, f"HTTP 429, {error}", error.retry_after_s) from error
        except QdrantException as error:  # the client fails on a Retry-After that is not a whole number
            raise errors.throttled(operation, f"HTTP 429, {error}", None) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:  # it lets these through as they are
            raise errors.garbled(operation, error) from error
        except (ApiException, AssertionError) as error:  # it asserts that a result is there
            raise errors.garbled(operation, error) from error
        except ValueError as error:  # the client's own check of names
            raise errors.rejected(operation, str(error)) from error

    def _keep_deadline(
        self, request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]
    ) -> httpx.Response:
        """The client counts in whole seconds of its own; give the request what the deadline leaves."""
        attempted = f"qdrant: {self._call.operation}"
        seconds = self._call.deadline.timeout(self._most_seconds, attempted=attempted)
        request.extensions["timeout"] = httpx.Timeout(seconds).as_dict()
        return send(request)


def _of_handling(operation: str, source: Exception) -> Exception:
    if isinstance(source, ValueError):  # pydantic's, and those of a body that is not JSON
        return errors.garbled(operation, source)
    return errors.of_transport(operation, source)
