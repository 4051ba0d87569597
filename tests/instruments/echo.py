"""A server that sends back what it gets, to put behind a wire, and a client's end of that."""

from __future__ import annotations

import socket
import threading
import time

from chatrpc.lab.wire import Wire


class Echo:
    """A server that sends back what it gets, and remembers how each connection ended."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends: list[str] = []
        self.got = 0
        self.reads = threading.Event()
        self.reads.set()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while self.reads.wait(10) and (data := connection.recv(65536)):
                    self.got += len(data)
                    connection.sendall(data)
                self.ends.append("fin")
            except OSError:
                self.ends.append("rst")

    def wait_for_end(self) -> str:
        stop = time.monotonic() + 3
        while not self.ends and time.monotonic() < stop:
            time.sleep(0.005)
        return self.ends[-1] if self.ends else "still open"


def dial(wire: Wire) -> socket.socket:
    """A client's end."""
    return socket.create_connection(("127.0.0.1", wire.port), timeout=3)


def exchange(client: socket.socket, data: bytes) -> bytes:
    """Send, and read as many bytes back."""
    client.sendall(data)
    got = b""
    while len(got) < len(data):
        got += client.recv(65536)
    return got
