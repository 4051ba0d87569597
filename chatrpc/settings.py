"""Settings: from the environment, with defaults that need none.

============================ =============================================== =========
variable                     what it says                                    default
============================ =============================================== =========
CHATRPC_URL                  the broker; several, with commas, are one       see below
                             cluster's nodes
CHATRPC_SERVICE              the service that the worker and the chat share  chat
CHATRPC_TIMEOUT              seconds that a call waits                       10
CHATRPC_HEARTBEAT            seconds of silence between signs of life        4
CHATRPC_QUEUE_LIMIT          requests that a service's queue keeps           10000
CHATRPC_CA                   file with the authority that signed the         the
                             broker's certificate, for amqps://              system's
============================ =============================================== =========

The default broker is amqp://guest:guest@localhost:5672/, the one that a fresh RabbitMQ is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from .errors import BrokerRefused

DEFAULT_URL = "amqp://guest:guest@localhost:5672/"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens, and as whom to log in; it shows no password."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    vhost: str
    tls: bool

    def __str__(self) -> str:
        """Return the address as a person may see it."""
        vhost = "" if self.vhost == "/" else f"/{self.vhost}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:{self.port}{vhost}"

    @classmethod
    def parse(cls, url: str) -> Address:
        """Return the address that a URL names.

        Raises:
            BrokerRefused: it is none.
        """
        try:
            parts = urlsplit(url.strip())
            if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
                raise ValueError
            if "@" in parts.path + parts.query + parts.fragment:  # a password was cut in two
                raise ValueError
            tls = parts.scheme == "amqps"
            vhost = unquote(parts.path[1:]) or "/"
            return cls(
                host=parts.hostname,
                port=parts.port or (5671 if tls else 5672),
                user=unquote(parts.username or "guest"),
                password=unquote("guest" if parts.password is None else parts.password),
                vhost=vhost,
                tls=tls,
            )
        except ValueError:
            raise BrokerRefused(
                "the broker's address is not of the form amqp://user:password@host:port/"
            ) from None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set; times are in seconds."""

    url: str = field(default=DEFAULT_URL, repr=False)
    service: str = "chat"
    timeout: float = 10.0
    heartbeat: int = 4
    queue_limit: int = 10_000
    ca: str | None = None

    @property
    def addresses(self) -> list[Address]:
        """The nodes of the broker.

        Raises:
            BrokerRefused: one of them is no address.
        """
        return [Address.parse(url) for url in self.url.split(",") if url.strip()] or [
            Address.parse(self.url)
        ]

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, *, url: str | None = None
    ) -> Settings:
        """Return the settings that the environment names; ``url`` goes before CHATRPC_URL.

        Raises:
            ValueError: a variable is not a number where one is needed.
        """
        env = os.environ if environ is None else environ
        return cls(
            url=url or env.get("CHATRPC_URL") or DEFAULT_URL,
            service=env.get("CHATRPC_SERVICE") or "chat",
            timeout=_number(env, "CHATRPC_TIMEOUT", 10.0, 0.001, 86_400.0),
            heartbeat=int(_number(env, "CHATRPC_HEARTBEAT", 4, 1, 600)),
            queue_limit=int(_number(env, "CHATRPC_QUEUE_LIMIT", 10_000, 1, 10_000_000)),
            ca=env.get("CHATRPC_CA") or None,
        )


def _number(env: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    text = env.get(name) or str(default)
    try:
        number = float(text)
        if least <= number <= most:
            return number
    except ValueError:
        pass
    raise ValueError(f"{name} is {text!r}: it must be a number from {least:g} to {most:g}")
