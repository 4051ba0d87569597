"""One connection: prompt to notice its loss, and quick on the way in and out."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

from amqpstorm.connection import Connection as StormConnection
from amqpstorm.exception import AMQPConnectionError
from amqpstorm.heartbeat import Heartbeat
from pamqp import frame as pamqp_frames

from .. import frames
from ..errors import BrokerError
from ..settings import Address
from ..writer import Writer
from .channel import Channel
from .news import News
from .turns import Turns

_KINDS = (1, 2, 3, 8)
_LARGEST_FRAME = 1024 * 1024


class Alarm(list[Exception]):
    """AMQPStorm's list of errors; it rings when one is put in, until it has rung.

    Two threads may meet the same loss, and one may be interrupted between two lines: so it
    may ring twice, and cannot fall silent before it has.
    """

    def __init__(self, ring: Callable[[Exception], None]) -> None:
        super().__init__()
        self._ring, self._rung = ring, False

    def append(self, error: Exception) -> None:
        """Put an error in."""
        super().append(error)
        if not self._rung:
            self._ring(error)
            self._rung = True


class _LifeSigns(Heartbeat):
    """AMQPStorm's heartbeat, which also notices a write that has been stuck for its length."""

    writer: Writer

    def _check_for_life_signs(self) -> bool:
        since, patience = self.writer.since, (self._interval or 0) * 2
        if since is not None and time.monotonic() - since > patience:
            self._raise_or_append_exception()
            return False
        return super()._check_for_life_signs()


class Connection(StormConnection):
    """One connection whose loss is noticed at once."""

    def __init__(
        self,
        address: Address,
        *,
        lost: Callable[[Exception], None],
        read: Callable[[], None] | None = None,
        **options: Any,
    ) -> None:
        self._lost, self._read = lost, read
        self.reached = False
        self.turns: Turns | None = None
        self._news = News()
        self.writer = Writer(lambda data: self._io.write_to_socket(data))
        super().__init__(
            address.host,
            address.user,
            address.password,
            port=address.port,
            virtual_host=address.vhost,
            ssl=address.tls,
            poller="poll",
            lazy=True,
            **options,
        )
        self._tls = address.tls
        self.heartbeat = _LifeSigns(self.parameters["heartbeat"], self._channel0.send_heartbeat)
        self.heartbeat.writer = self.writer

    def _send_handshake(self) -> None:
        self.reached = True
        alarm = Alarm(self._ring)
        self._exceptions = self._io._exceptions = alarm
        if self._io.poller is not None:
            self._io.poller._exceptions = alarm
        if self.socket is not None:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:  # whoever waits must not do it inside OpenSSL: see TurnSocket
                self.socket.settimeout(0)
            else:
                self.socket.settimeout(None)
                self._io.poller = self.turns = Turns(self._io, alarm)
        super()._send_handshake()

    def set_state(self, state: int) -> None:
        """Note a state, and tell who waits for it."""
        super().set_state(state)
        self._news.set()

    def _wait_for_connection_state(
        self, state: int = StormConnection.OPEN, rpc_timeout: float = 30
    ) -> None:
        if not self._news.until(
            lambda: self.current_state == state, rpc_timeout, self.check_for_errors
        ):
            raise AMQPConnectionError("connection timed out")

    def _ring(self, error: Exception) -> None:
        self._news.set()
        self.abort()
        self._lost(error)

    def fail(self, error: BaseException) -> None:
        """End the connection at once: what was sent over it is not known any more."""
        self._exceptions.append(AMQPConnectionError(error))

    def abort(self) -> None:
        """Shut the socket, so that nothing waits for it any more."""
        if (sock := self.socket) is not None:
            with contextlib.suppress(OSError, ValueError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def write_frame(self, channel_id: int, frame_out: Any) -> None:
        """Write a frame of AMQPStorm's, in turn with ours."""
        self._write(pamqp_frames.marshal(frame_out, channel_id))

    def write_frames(self, channel_id: int, frames_out: list[Any]) -> None:
        """Write frames of AMQPStorm's, in turn with ours."""
        self._write(b"".join(pamqp_frames.marshal(frame, channel_id) for frame in frames_out))

    def _write(self, data: bytes) -> None:
        if self.turns is not None:  # AMQPStorm waits for the answers to its own frames
            self.turns.call_back()
        self.writer.add(data)
        self.writer.flush()

    def channel(self, rpc_timeout: float = 5, lazy: bool = False) -> Channel:
        """Open a channel of ours."""
        with self.lock:
            number = self._get_next_available_channel_id()
            channel = self._channels[number] = Channel(number, self, rpc_timeout)
            channel.open()
        return channel

    def _read_buffer(self, data_in: bytes) -> bytes:
        at, end = 0, len(data_in)
        self.writer.reading(True)
        while end - at >= frames.OVERHEAD:
            kind, number, size = frames.FRAME.unpack_from(data_in, at)
            if kind not in _KINDS or size > _LARGEST_FRAME:
                raise BrokerError("what answers there does not speak AMQP")
            after = at + size + frames.OVERHEAD
            if after > end:
                break
            channel: Any = self._channels.get(number)
            if channel is None or not channel.take(kind, data_in[at + 7 : after - 1]):
                self._dispatch(number, pamqp_frames.unmarshal(data_in[at:after])[2])
            at = after
        if self._read is not None:
            self._read()
        # After that, since somebody may be waiting for what was read.
        self.heartbeat.register_read()
        self.writer.reading(False)
        self.writer.nudge(None if self._tls else self.socket)
        return data_in[at:]

    def _dispatch(self, number: int, frame_in: Any) -> None:
        if number == 0:
            self._channel0.on_frame(frame_in)
            if frame_in.name == "Connection.Close" and not self.exceptions:
                self.exceptions.append(BrokerError("the broker closed the connection"))
        elif (channel := self._channels.get(number)) is not None:
            channel.on_frame(frame_in)
