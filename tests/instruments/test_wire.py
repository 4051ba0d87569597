"""The wire does what each of its faults says, seen by plain sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import pytest
from echo import Echo, dial, exchange

from chatrpc.lab.problem import LabProblem
from chatrpc.lab.wire import Wire, through


def test_bytes_pass_both_ways(wire: Wire) -> None:
    """A megabyte comes back as it went, on two connections at once."""
    with dial(wire) as one, dial(wire) as two:
        assert exchange(one, b"one") == b"one"
        data = os.urandom(1_000_000)
        sender = threading.Thread(target=two.sendall, args=(data,))
        sender.start()
        got = b""
        while len(got) < len(data):
            got += two.recv(65536)
        sender.join()
        assert got == data
        assert wire.connections == 2


def test_a_delay_is_added_each_way(wire: Wire) -> None:
    """There and back takes twice the delay, in the order sent, and mending takes it away."""
    with dial(wire) as client:
        exchange(client, b"x")
        wire.delay(0.1)
        assert wire.state == "delayed by 0.1 s"
        start = time.monotonic()
        assert exchange(client, b"1") == b"1"
        assert 0.2 <= time.monotonic() - start < 0.8
        client.sendall(b"2")
        wire.mend()
        start = time.monotonic()
        assert client.recv(1) == b"2"
        assert time.monotonic() - start < 0.08


def test_mending_keeps_the_order_of_what_was_delayed(wire: Wire) -> None:
    """What was on the way arrives before what was sent after."""
    with dial(wire) as client:
        wire.delay(5)
        client.sendall(b"first")
        time.sleep(0.05)
        wire.mend()
        assert exchange(client, b"later")[:5] == b"first"


@pytest.mark.parametrize("one_way", ["to_broker", "to_client"])
def test_a_stall_holds_the_bytes_and_mending_lets_them_go(
    wire: Wire, echo: Echo, one_way: str
) -> None:
    """Nothing comes back, nothing is lost, and only the stalled way is stalled."""
    with dial(wire) as client:
        exchange(client, b"x")
        wire.stall(**{"to_broker": False, "to_client": False, one_way: True})
        assert wire.state == f"stalled {one_way}"
        client.settimeout(0.2)
        client.sendall(b"held")
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert (echo.got == 5) == (one_way == "to_client")
        wire.mend()
        client.settimeout(3)
        assert client.recv(4) == b"held"
        assert wire.state == "passing"


def test_a_stalled_wire_blocks_a_sender_at_last(wire: Wire) -> None:
    """The buffers fill: a big message does not leave."""
    with dial(wire) as client:
        exchange(client, b"x")
        wire.stall()
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.sendall(bytes(50_000_000))


def test_a_cut_is_an_end_of_file_on_both_sides(wire: Wire, echo: Echo) -> None:
    """FIN, even with bytes that nobody read; a new connection works at once."""
    with dial(wire) as client:
        exchange(client, b"x")
        wire.stall()
        client.sendall(b"never read")
        wire.cut()
        assert wire.connections == 0
        assert client.recv(10) == b""
        assert echo.wait_for_end() == "fin"
    wire.mend()
    with dial(wire) as client:
        assert exchange(client, b"again") == b"again"


@pytest.mark.parametrize("to_broker", [True, False])
def test_a_cut_after_some_bytes_lets_exactly_those_pass(
    wire: Wire, echo: Echo, to_broker: bool
) -> None:
    """The rest is lost, both sides get their FIN, and the next connection is whole."""
    with dial(wire) as client:
        exchange(client, b"x")
        wire.cut(after=3, to_broker=to_broker)
        client.sendall(b"in the middle")
        got = b""
        while data := client.recv(100):
            got += data
        assert echo.wait_for_end() == "fin"
        assert echo.got == 1 + (3 if to_broker else len(b"in the middle"))
        assert got == (b"" if to_broker else b"in ")
    with dial(wire) as client:
        assert exchange(client, b"again") == b"again"


def test_mending_calls_a_cut_off(wire: Wire) -> None:
    """What was still to pass may pass for ever."""
    with dial(wire) as client:
        wire.cut(after=5)
        wire.mend()
        assert exchange(client, b"more than five") == b"more than five"


def test_a_reset_is_an_error_on_both_sides(wire: Wire, echo: Echo) -> None:
    """RST."""
    with dial(wire) as client:
        exchange(client, b"x")
        wire.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(10)
        assert echo.wait_for_end() == "rst"


def test_refused_until_mended_and_the_old_connection_lives(wire: Wire) -> None:
    """Nobody listens on the port, which stays ours; twice does no harm."""
    with dial(wire) as old:
        exchange(old, b"x")
        wire.refuse()
        wire.refuse()
        assert wire.state == "refusing"
        with pytest.raises(ConnectionRefusedError):
            dial(wire)
        assert exchange(old, b"still here") == b"still here"
        wire.mend()
        with dial(wire) as new:
            assert exchange(new, b"new") == b"new"


def test_either_side_hanging_up_ends_the_other(wire: Wire, echo: Echo) -> None:
    """The client's end of file reaches the broker, and the pair is forgotten."""
    with dial(wire) as client:
        exchange(client, b"x")
    assert echo.wait_for_end() == "fin"
    stop = time.monotonic() + 2
    while wire.connections and time.monotonic() < stop:
        time.sleep(0.005)
    assert wire.connections == 0


def test_whose_port_is_whose_is_known_while_it_is_theirs(
    echo: Echo, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system gives the port of a connection that has ended to somebody else."""
    with dial(wire) as client:
        exchange(client, b"x")
        port = client.getsockname()[1]
        at_broker = through(port)
        assert at_broker != port
    assert echo.wait_for_end() == "fin"
    stop = time.monotonic() + 2
    while wire.connections and time.monotonic() < stop:
        time.sleep(0.005)
    assert through(port) == at_broker  # what was said last may still be told of
    monkeypatch.setattr("chatrpc.lab.wire.LATE", 0.0)
    assert through(port) == port


def test_a_broker_that_is_away_refuses_through_the_wire() -> None:
    """No broker behind it: the client's connection is reset at once."""
    gone = socket.create_server(("127.0.0.1", 0))
    port = gone.getsockname()[1]
    gone.close()
    with Wire(f"amqp://127.0.0.1:{port}/") as wire:
        with pytest.raises(OSError, match=r"(?i)reset|pipe"), dial(wire) as client:
            client.recv(1)
        assert wire.connections == 0


def test_nothing_is_left_after_close(echo: Echo) -> None:
    """No thread, no socket; the port is free; a late command is one sentence."""

    def sockets() -> int:
        links = []
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                links.append(os.readlink(f"/proc/self/fd/{fd}"))
        return sum(link.startswith("socket:") for link in links)

    before = sockets(), threading.active_count()
    wire = Wire(f"amqp://127.0.0.1:{echo.port}/")
    client = dial(wire)
    exchange(client, b"x")
    wire.close()
    wire.close()
    assert client.recv(1) == b""
    client.close()
    assert echo.wait_for_end() == "fin"
    time.sleep(0.05)
    assert (sockets(), threading.active_count()) == before
    with pytest.raises(LabProblem, match="closed"):
        wire.cut()
    with pytest.raises(ConnectionRefusedError):
        dial(wire)


def test_its_address_is_the_brokers_but_for_the_place() -> None:
    """User, password, virtual host and options stay; the password is not shown."""
    with Wire("amqp://ana:s%40cret@broker.example:5673/%2F?heartbeat=4") as wire:
        assert wire.url == f"amqp://ana:s%40cret@127.0.0.1:{wire.port}/%2F?heartbeat=4"
        assert "cret" not in repr(wire)
        assert "broker.example:5673" in repr(wire)
    with Wire("amqp://localhost/") as wire:
        assert wire.url == f"amqp://127.0.0.1:{wire.port}/"


@pytest.mark.parametrize("url", ["", "http://localhost/", "amqp://", "amqp://h:99999/", "nonsense"])
def test_an_address_that_is_none_is_one_sentence(url: str) -> None:
    """And leaves nothing open."""
    with pytest.raises(LabProblem, match="needs the address of one broker"):
        Wire(url)


def test_a_negative_number_is_refused(wire: Wire) -> None:
    """One sentence."""
    with pytest.raises(LabProblem, match="0 seconds or more"):
        wire.delay(-1)
    with pytest.raises(LabProblem, match="0 bytes or more"):
        wire.cut(after=-1)
