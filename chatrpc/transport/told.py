"""AMQPStorm's errors as ours: one sentence each, and no password."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from amqpstorm.exception import AMQPChannelError, AMQPConnectionError, AMQPError

from ..errors import BrokerError, BrokerRefused, NoWorker, RpcError
from ..settings import Address


@contextlib.contextmanager
def translated(address: Address) -> Iterator[None]:
    """Raise what AMQPStorm raises as one of our errors."""
    try:
        yield
    except (AMQPError, OSError) as error:
        raise told(address, error) from None


def told(address: Address, error: Exception) -> RpcError:
    """Return AMQPStorm's error as one of ours.

    No text of AMQPStorm's or RabbitMQ's holds the password: it travels apart from the rest.
    """
    if isinstance(error, RpcError):
        return error
    code = getattr(error, "error_code", None)
    # Where OpenSSL noticed it, and on which channel, which is not the same each time.
    text = re.sub(r"\s*\(_ssl\.c:\d+\)|^Channel \d+ was closed by remote server: ", "", str(error))
    if code == 404 and isinstance(error, AMQPChannelError):
        return NoWorker(f"the broker has no such queue or exchange: {text}")
    if code == 403 and "ACCESS_REFUSED - Login" in text:
        return BrokerRefused(f"the broker at {address} refuses this user or password")
    if code in (402, 403, 530) and isinstance(error, AMQPConnectionError):
        return BrokerRefused(f"the broker refuses the virtual host {address.vhost!r} to {address}")
    if code == 403:
        advice = "Ask whoever runs the broker for the permission."
        return BrokerRefused(f"the broker at {address} refuses: {text}", advice=advice)
    if code in (405, 406):
        advice = "It was made with other settings or is somebody else's: delete it, or use another."
        return BrokerRefused(f"the broker at {address} refuses: {text}", advice=advice)
    if "CERTIFICATE" in text.upper():
        why = text.rpartition("certificate verify failed: ")[2].rstrip(".")
        advice = "Let CHATRPC_CA name the file of its authority; the host must be the name in it."
        return BrokerRefused(
            f"the certificate of {address} cannot be trusted: {why}", advice=advice
        )
    if address.tls and "WRONG_VERSION_NUMBER" in text:
        return BrokerError(f"{address} does not speak TLS: use amqp://, or the port of amqps://")
    return BrokerError(f"no connection to the broker at {address}: {text}")
