"""TLS: the broker's certificate is verified, and one thread at a time uses what OpenSSL keeps."""

from __future__ import annotations

import contextlib
import select
import ssl
import threading
from typing import Any

from ..errors import BrokerRefused
from ..settings import Address


class TurnSocket(ssl.SSLSocket):
    """A TLS socket that one thread may read while others write.

    Python lets two threads into one OpenSSL object at once, which OpenSSL forbids (Python
    locks it itself from 3.14 on). Here each takes its turn for as long as a step needs that
    does not wait; whoever must wait for the network waits outside.
    """

    _turn: threading.Lock

    def __new__(cls, *args: Any, **options: Any) -> TurnSocket:
        """Give each socket its lock: ssl makes them without calling ``__init__``."""
        self: TurnSocket = super().__new__(cls, *args, **options)
        self._turn = threading.Lock()
        return self

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Read what is there.

        Raises:
            ssl.SSLWantReadError: nothing is there yet.
        """
        with self._turn:
            return super().read(len, buffer)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send as much as the network takes, at least something."""
        while True:
            try:
                with self._turn:
                    return super().send(data, flags)
            except ssl.SSLWantReadError:
                self._await(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._await(select.POLLOUT)

    def _await(self, event: int) -> None:
        waiting = select.poll()
        with contextlib.suppress(ValueError):  # closed meanwhile: the next step says so
            waiting.register(self.fileno(), event)
            waiting.poll(1000)


def options(address: Address, ca: str | None) -> dict[str, Any]:
    """Return AMQPStorm's options for TLS: the system's authorities, or those in the file ``ca``.

    Raises:
        BrokerRefused: that file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise BrokerRefused(f"the file that CHATRPC_CA names cannot be read: {error}") from None
    context.sslsocket_class = TurnSocket
    return {"context": context, "server_hostname": address.host}
