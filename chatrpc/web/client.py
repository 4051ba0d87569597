"""One client for all threads of a process, the places of those who wait, and who is there."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from .. import broker
from ..client import RpcClient
from ..errors import BrokerError, Busy, NoWorker, Ran, RpcError
from ..settings import Settings
from .limits import Places
from .own import Client

log = logging.getLogger("chatrpc.web")

WAITING = 30  # threads that may wait for answers; the server's other two can still say "busy"
A_MOMENT = 0.1  # seconds in which a place becomes free, where answers are quick
A_QUEUE = 1.0  # seconds that one more may wait for a place while places change hands
PATIENCE = 30.0  # seconds that a message waits for its answer, unless CHATRPC_TIMEOUT says other
LOOK_AGAIN = 0.4  # seconds after which broker and workers are looked at anew
A_GLANCE = 0.5  # seconds in which a broker that is there has told who listens
OPENING = 2.0  # seconds in which a client has been opened, so that it can be asked
DIAL_AGAIN = 1.0  # seconds between two attempts to find the broker


def settings() -> Settings:
    """The environment's settings, of which the chat waits longer than a program does.

    Ends the program with one sentence if a variable makes no sense.
    """
    patient = os.environ.get("CHATRPC_TIMEOUT") or str(PATIENCE)
    try:
        return Settings.from_env({**os.environ, "CHATRPC_TIMEOUT": patient})
    except ValueError as error:
        sys.exit(str(error))


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether the broker is there, and how many workers listen."""

    broker: bool
    workers: int


class SharedClient:
    """One client for all threads of a process, opened when it is first needed.

    One connection and one table of calls serve any number of threads. Until the broker is
    found each ``get`` fails soon, and looks again every ``DIAL_AGAIN`` seconds; a client
    that was opened comes back by itself.
    """

    def __init__(
        self,
        service: str,
        *,
        timeout: float,
        waiting: int = WAITING,
        make: Callable[..., Client] = RpcClient,
    ) -> None:
        """Name the service; nothing is opened or started. ``timeout`` is in seconds."""
        self.service = service
        self.timeout = timeout
        self._make = make
        self._client: Client | None = None
        self._opening = threading.Lock()
        self._failure = BrokerError("the broker is being looked for", ran=Ran.NO)
        self._dial_at = 0.0
        self._places = Places(waiting, moment=A_MOMENT, most=A_QUEUE)
        self._glance = threading.Lock()
        self._looked: Future[Presence] = Future()
        self._looked.set_result(Presence(False, 0))
        self._look_at = 0.0
        self._told_by = 0.0

    # -- the client --

    def get(self) -> Client:
        """The client. Raises BrokerError while there is no broker to connect to."""
        if self._client is not None:
            return self._client
        # A private node takes some seconds to start: whoever comes meanwhile waits for it.
        if not self._opening.acquire(timeout=min(self.timeout, 10.0)):
            raise BrokerError("the broker is being looked for", ran=Ran.NO)
        try:
            if self._client is None:
                if time.monotonic() < self._dial_at:
                    raise type(self._failure)(str(self._failure), ran=Ran.NO)
                self._client = self._open()
                atexit.register(self.close)
            return self._client
        finally:
            self._opening.release()

    def _open(self) -> Client:
        try:
            broker.use()
            return self._make(self.service, timeout=self.timeout)
        except broker.BrokerProblem as problem:
            self._failure = BrokerError(str(problem), ran=Ran.NO)
        except BrokerError as error:
            self._failure = error
        self._dial_at = time.monotonic() + DIAL_AGAIN
        log.warning("no broker: %s", self._failure)
        raise type(self._failure)(str(self._failure), ran=Ran.NO)

    def close(self) -> None:
        """Close the client if there is one; a later ``get`` opens another."""
        with self._opening:
            client, self._client = self._client, None
        if client is not None:
            atexit.unregister(self.close)
            client.close()

    # -- those who wait --

    @contextmanager
    def place(self) -> Iterator[Client]:
        """The client, and one of the places of those who wait. Raises Busy when all are taken."""
        if not self._places.take():
            raise Busy("too many people are waiting for their answers", ran=Ran.NO)
        try:
            yield self.get()
        finally:
            self._places.leave()

    # -- who is there --

    def presence(self) -> Presence:
        """What was seen of broker and workers, ``LOOK_AGAIN`` seconds ago at most.

        One thread looks, for however many who ask. A broker that is slow to tell is not there.
        """
        with self._glance:
            now = time.monotonic()
            if now >= self._look_at and self._looked.done():
                self._looked = Future()
                self._look_at = now + LOOK_AGAIN
                self._told_by = now + (OPENING if self._client is None else A_GLANCE)
                threading.Thread(target=self._tell, args=(self._looked,), daemon=True).start()
            looked, left = self._looked, self._told_by - now
        try:
            return looked.result(max(0.0, left))
        except TimeoutError:
            return Presence(False, 0)

    def _tell(self, looked: Future[Presence]) -> None:
        try:
            looked.set_result(self._look())
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asks
            looked.set_exception(error)

    def _look(self) -> Presence:
        try:
            return Presence(True, self.get().consumers())
        except NoWorker:
            return Presence(True, 0)
        except RpcError:
            return Presence(False, 0)
