"""What the chat's tests share: a worker process, the app, the app as a process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from tests.programs import Program, Standing, consumer, serving


@pytest.fixture
def worker(service: str, tmp_path: Path) -> Iterator[Program]:
    """A worker process for the test's service, with a ledger of its own."""
    with consumer(service, CHATRPC_LEDGER=str(tmp_path / "ledger.sqlite3")) as program:
        yield program


@pytest.fixture
def app(service: str) -> Iterator[Flask]:
    """The app for the test's service; its messages wait at most 5 seconds."""
    app = create_app(service=service, timeout=5)
    yield app
    app.extensions["chatrpc"].close()


@pytest.fixture
def http(app: Flask) -> FlaskClient:
    """Flask's own client of the app."""
    return app.test_client()


@pytest.fixture
def site(service: str) -> Iterator[str]:
    """The address of an app of the test's own."""
    with serving(service) as address:
        yield address


@pytest.fixture(scope="module")
def standing(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """For the tests that stop neither."""
    service = f"test-{uuid.uuid4().hex[:8]}"
    ledger = str(tmp_path_factory.mktemp("ledger") / "ledger.sqlite3")
    with consumer(service, CHATRPC_LEDGER=ledger) as worker, serving(service) as address:
        yield Standing(address, worker)
