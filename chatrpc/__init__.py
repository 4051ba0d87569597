"""RPC over RabbitMQ: call a method of a worker that may be anywhere, and know what became of it.

::

    from chatrpc import RpcClient, RpcServer

    server = RpcServer("chat")

    @server.method
    def shout(text: str) -> str:
        return text.upper()

    with server:
        with RpcClient("chat", timeout=10) as chat:
            chat.call("shout", "hola")  # 'HOLA'
"""

from .calls import CallFuture
from .client import RpcClient
from .errors import (
    BrokerError,
    BrokerRefused,
    Busy,
    CallTimeout,
    ClientClosed,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    NoWorker,
    Ran,
    RemoteError,
    RpcError,
    TooLarge,
)
from .messages import Request
from .server import RpcServer

__all__ = [
    "BrokerError",
    "BrokerRefused",
    "Busy",
    "CallFuture",
    "CallTimeout",
    "ClientClosed",
    "InvalidParams",
    "InvalidRequest",
    "MethodNotFound",
    "NoWorker",
    "Ran",
    "RemoteError",
    "Request",
    "RpcClient",
    "RpcError",
    "RpcServer",
    "TooLarge",
]
