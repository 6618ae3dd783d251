"""Functions whose part is not built yet: they answer 501 in the error shape."""

from __future__ import annotations

from shared.http.app import App
from shared.http.errors import not_implemented
from shared.http.requests import Request
from shared.http.routes import Reply, Route
from shared.wiring import process


def application(name: str, path: str) -> App:
    """An application that has ``/live`` and ``/ready``, and says at ``path`` that there is no more yet."""

    def answer(_request: Request) -> Reply:
        raise not_implemented(
            f"{name} is not built yet.", hint="The handbook's recovery pages say what to do until then."
        )

    return App([Route("POST", path, answer)], name=name, logger=process.logger(name))
