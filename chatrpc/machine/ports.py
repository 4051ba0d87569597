"""Ports on loopback: free ones, and the end of a port mapper of our own."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody uses now."""
    with ExitStack() as held:
        ports = []
        for _ in range(count):
            sock = held.enter_context(socket.socket())
            sock.bind((LOOPBACK, 0))
            ports.append(sock.getsockname()[1])
        return ports


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def end_epmd(port: int, *, awaited: float = 0.0) -> None:
    """Ask Erlang's port mapper there to go; it stays while a node is registered with it.

    A node that has just ended may still be registered for a moment, so this asks for 2 s. For
    ``awaited`` seconds it is asked again: nodes that were ended in their start may each have
    left one that is only beginning, and that takes the port when another has gone.
    """
    began = time.monotonic()
    deadline = began + 2.0
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((LOOPBACK, port), 1.0) as sock:
                sock.settimeout(1.0)
                sock.sendall(b"\x00\x01k")
                gone = sock.recv(2) == b"OK"
        except OSError:
            gone = True
        if gone and time.monotonic() >= began + awaited:
            return
        time.sleep(0.05)


def lan_address() -> str:
    """This machine's address on the local network; '' if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # sends nothing: it only asks for the route
        except OSError:
            return ""
        address = str(sock.getsockname()[0])
    return "" if address.startswith(("127.", "0.")) else address
