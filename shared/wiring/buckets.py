"""Buckets by their address: Cloud Storage over plain REST or through its package, or a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from shared.ports import ObjectStore
from shared.settings import Settings

if TYPE_CHECKING:
    import httpx


def point_bucket(settings: Settings) -> str:
    """The address of the bucket that holds recovery points."""
    return settings.backup_bucket or settings.storage_bucket


def small_store(address: str, settings: Settings, client: httpx.Client) -> ObjectStore:
    """A bucket over plain REST, or a folder: for what is small."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return _folder(parts.path)
    from shared.adapters.access_token import DefaultCredentialsToken, MetadataToken, TokenProvider
    from shared.adapters.gcs_http import ENDPOINT, GcsHttpStore

    endpoint = settings.storage_endpoint
    token: TokenProvider | None = None
    if not endpoint and settings.storage_credentials == "default":
        token = DefaultCredentialsToken()
    elif not endpoint:
        token = MetadataToken(client)
    return GcsHttpStore(parts.netloc, endpoint=endpoint or ENDPOINT, token=token, client=client)


def bulk_store(address: str, settings: Settings) -> tuple[ObjectStore, Callable[[], None]]:
    """A bucket through google-cloud-storage, or a folder, and how to close it: for long streams."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return _folder(parts.path), lambda: None
    from shared.adapters.gcs import GcsStore

    store = GcsStore(parts.netloc, endpoint=settings.storage_endpoint or None)
    return store, store.close


def _folder(path: str) -> ObjectStore:
    from shared.embedded.folder import FolderStore

    return FolderStore(Path(unquote(path)))
