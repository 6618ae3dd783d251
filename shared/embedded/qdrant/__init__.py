"""Qdrant's own engine in this process, behind a loopback server that speaks Qdrant's REST.

``engine`` keeps collections and aliases on disk, ``rest`` maps requests to it, ``server`` listens.
"""

from shared.embedded.qdrant.server import EmbeddedQdrant

__all__ = ["EmbeddedQdrant"]
