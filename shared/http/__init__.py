"""Requests, responses, the one error shape, CORS and server-sent events, for every function's entry point."""
