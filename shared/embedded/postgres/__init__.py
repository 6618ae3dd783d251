"""A real Postgres on this machine, for as long as one process needs it."""

from shared.embedded.postgres.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
