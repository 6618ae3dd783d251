"""Serves the provider on a socket, and the environment in which Terraform finds it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from tests.terraform.stub.protocol import MESSAGES, PACKAGE
from tests.terraform.stub.provider import Cloud, Provider
from tests.terraform.stub.schema import read_schema

_ADDRESS = "registry.terraform.io/hashicorp/google"
_BIG = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class _Calls(grpc.GenericRpcHandler):
    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def service(self, details: Any) -> Any:
        service, _, name = details.method.strip("/").partition("/")
        if service != f"{PACKAGE}.Provider" or f"{name}Request" not in MESSAGES:
            return None
        call = getattr(self._provider, name)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _context: call(request),
            request_deserializer=MESSAGES[f"{name}Request"].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )


@contextmanager
def serving(
    folder: Path, cloud: Cloud | None = None, schema: dict[str, Any] | None = None
) -> Iterator[dict[str, str]]:
    """Serve while the context lasts; gives the variables for ``terraform``. ``folder`` holds the socket.

    Reattaching is Terraform's own way to talk to a provider that runs already: nothing is installed, and the
    lock file is not touched.
    """
    socket = folder / "provider.sock"
    server = grpc.server(ThreadPoolExecutor(16), options=_BIG)
    server.add_generic_rpc_handlers((_Calls(Provider(schema or read_schema(), cloud or Cloud())),))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    reattach = {
        "Protocol": "grpc",
        "ProtocolVersion": 5,
        "Pid": os.getpid(),
        "Test": True,
        "Addr": {"Network": "unix", "String": str(socket)},
    }
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps({_ADDRESS: reattach})}
    finally:
        server.stop(0)
