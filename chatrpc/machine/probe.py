"""Who answers at a broker's address: one bounded login, and away again.

The library's own link heals itself and retries; here a program only wants to know, within a
second or two, what is there. Nothing is declared or published.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..errors import BrokerRefused, RpcError
from ..settings import DEFAULT_URL, Address, Settings
from ..transport import Transport

__all__ = ["DEFAULT_URL", "Answer", "Found", "probe"]


class Answer(Enum):
    """What a probe found."""

    SERVES = "serves"
    REFUSES = "refuses"
    NOT_AMQP = "is not RabbitMQ"
    NOBODY = "does not answer"
    BAD_URL = "is not a broker's address"


@dataclass(frozen=True)
class Found:
    """A probe's result: ``detail`` is for a person and holds no secret."""

    answer: Answer
    detail: str = ""
    version: str = ""

    @property
    def serves(self) -> bool:
        """Whether the login worked."""
        return self.answer is Answer.SERVES


def probe(url: str, *, timeout: float = 2.0) -> Found:
    """Log in at ``url`` and leave again; a silent stranger costs ``timeout`` seconds.

    Of several addresses, one that serves is enough.
    """
    settings = Settings.from_env(url=url)
    try:
        addresses = settings.addresses
    except BrokerRefused as error:
        return Found(Answer.BAD_URL, str(error))
    for address in addresses:
        found = _probe(address, settings.ca, timeout)
        if found.serves:
            break
    return found


def _probe(address: Address, ca: str | None, timeout: float) -> Found:
    try:
        transport = Transport(address, lost=lambda error: None, dial=timeout, ca=ca)
    except BrokerRefused as error:  # the file of CHATRPC_CA
        return Found(Answer.REFUSES, str(error))
    try:
        transport.open()
        return Found(Answer.SERVES, str(address), transport.version)
    except BrokerRefused as error:
        return Found(Answer.REFUSES, str(error), transport.version)
    except RpcError as error:
        if not transport.reached:
            return Found(Answer.NOBODY, str(error))
        # A broker that has greeted us, and then hangs up, does so because of the login.
        answer = Answer.REFUSES if transport.version else Answer.NOT_AMQP
        return Found(answer, str(error), transport.version)
    finally:
        transport.close()
