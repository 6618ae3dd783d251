"""Qdrant: ``search`` for questions (httpx alone), ``admin`` for ingestion and recovery (qdrant-client)."""
