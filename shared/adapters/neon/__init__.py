"""Postgres: Neon in production, the embedded server on one machine, through the same code."""
