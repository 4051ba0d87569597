"""What several tests of the instruments work on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from echo import Echo

from chatrpc.lab import workers
from chatrpc.lab.drill import Drill
from chatrpc.lab.wire import Wire


@pytest.fixture
def no_worker_left() -> Iterator[None]:
    """End the workers that the test has started."""
    yield
    workers.stop_all()


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A server to put behind the wire."""
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def wire(echo: Echo) -> Iterator[Wire]:
    """A wire to that server."""
    with Wire(f"amqp://guest:guest@127.0.0.1:{echo.port}/") as made:
        yield made


@pytest.fixture
def drill(service: str) -> Iterator[Drill]:
    """A drill whose calls have time enough for what is broken."""
    with Drill(service=service, timeout=20) as made:
        yield made
