"""What can go wrong with a call, and the one thing a caller must know then: did it run?

RpcError                        .ran       what the caller may do
├── NoWorker                    no         start a worker, call again
├── Busy                        no         wait a little, call again
├── InvalidRequest              no         correct the call
│   ├── MethodNotFound          no
│   ├── InvalidParams           no
│   └── TooLarge                no
├── RemoteError                 yes        read what the method said
├── CallTimeout                 maybe      ask before repeating, or send a key
├── ClientClosed                maybe
└── BrokerError                 no, maybe  look at the broker
    └── BrokerRefused           no         correct the address or the password
"""

from __future__ import annotations

from enum import Enum


class Ran(Enum):
    """Whether a call's method ran, over all sends of the call."""

    NO = "no"
    YES = "yes"
    MAYBE = "maybe"


class RpcError(Exception):
    """A call that did not bring its method's answer.

    ``str(error)`` is one sentence for a person, without secrets and without a traceback;
    ``advice`` says what to do; ``ran`` says whether the method ran; ``code`` is the
    JSON-RPC 2.0 error code, from the range that the specification leaves to servers
    (-32000 to -32099) where it names none.
    """

    ran = Ran.MAYBE
    code = -32000
    advice = ""

    def __init__(self, message: str, *, ran: Ran | None = None, advice: str | None = None) -> None:
        super().__init__(message)
        if ran is not None:
            self.ran = ran
        if advice is not None:
            self.advice = advice


class NoWorker(RpcError):
    """Nobody serves this name: the broker has no such queue, so nothing was kept."""

    ran = Ran.NO
    code = -32001
    advice = "Start a worker (python worker/consumer.py) and send again."


class Busy(RpcError):
    """The service's queue is full: the broker refused the request."""

    ran = Ran.NO
    code = -32002
    advice = "Wait a moment and send again."


class InvalidRequest(RpcError):
    """The request is not one that the server accepts."""

    ran = Ran.NO
    code = -32600
    advice = "Correct the call."


class MethodNotFound(InvalidRequest):
    """The service has no method of this name."""

    code = -32601


class InvalidParams(InvalidRequest):
    """The method does not take these parameters."""

    code = -32602


class TooLarge(InvalidRequest):
    """The message is over the limit, and was not sent."""

    code = -32003
    advice = "Send less."


class RemoteError(RpcError):
    """The method ran and raised: ``type`` is its exception's name, ``message`` its text."""

    ran = Ran.YES
    code = -32004
    advice = "The method failed: look at the worker's log."

    def __init__(self, type: str, message: str) -> None:
        super().__init__(f"{type}: {message}" if message else type)
        self.type = type
        self.message = message


class CallTimeout(RpcError, TimeoutError):
    """No answer came before the deadline: nobody knows whether the method ran."""

    ran = Ran.MAYBE
    code = -32005
    advice = "It may have been done: ask before you repeat it."


class ClientClosed(RpcError):
    """The client was closed while, or before, the call was under way."""

    code = -32006
    advice = "Open a new client."


class BrokerError(RpcError):
    """The broker cannot be reached."""

    code = -32007
    advice = "See whether the broker runs: chatrpc doctor."


class BrokerRefused(BrokerError):
    """The broker refuses this user, password, virtual host or certificate."""

    ran = Ran.NO
    code = -32008
    advice = "Correct the address in CHATRPC_URL."
