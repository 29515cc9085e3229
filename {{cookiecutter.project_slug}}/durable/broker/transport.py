"""Receives a message and tracks it as unacked in one step, where kombu 5.7 takes two.

kombu pops a message with BRPOP, and tracks it with a second command once it has the reply. A worker
that is killed or cut off in between takes the message with it, and a plain task is lost. Here one
script does both inside Redis. Each class overrides private methods of kombu's Redis transport:
durable/tests/faults/test_transport.py fails when kombu no longer needs that.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError

from durable.broker.messages import parse_message

# Keys: the lists in the order of polling, then kombu's `unacked` and `unacked_index`. Argument: the
# time of receipt by the worker's clock, which kombu compares it with. The entry has kombu's form and
# holds the message unchanged. RPOP is the first write, since a Redis that is out of memory refuses a
# script only if its first write needs memory.
RECEIVE = """
local function unacked_entry(message)
    local properties = cjson.decode(message).properties
    local target = properties.delivery_info
    local parts = {message, cjson.encode(target.exchange), cjson.encode(target.routing_key)}
    return properties.delivery_tag .. '', '[' .. table.concat(parts, ', ') .. ']'
end
for index = 1, #KEYS - 2 do
    local message = redis.call('RPOP', KEYS[index])
    if message then
        local readable, tag, entry = pcall(unacked_entry, message)
        if readable then
            redis.call('HSET', KEYS[#KEYS - 1], tag, entry)
            redis.call('ZADD', KEYS[#KEYS], ARGV[1], tag)
        end
        return {KEYS[index], message, readable and tag}
    end
end
"""
# Seconds. Redis cannot wait for several lists without popping from one, so a worker of several
# queues waits for the first of them, and polls all this often. With one queue it polls once a second.
POLL_INTERVAL = 0.05


class QoS(redis.QoS):
    """Counts the messages that a channel has received and not yet settled."""

    channel: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        """Count a message; track it as unacked unless the script has done so."""
        transport = self.channel.connection
        if transport.tracked_tag != delivery_tag:
            super().append(message, delivery_tag)
            return
        transport.tracked_tag = None
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        with self.free_slot_on_error(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        with self.free_slot_on_error(delivery_tag):
            super().reject(delivery_tag, requeue)

    @contextmanager
    def free_slot_on_error(self, delivery_tag: str) -> Iterator[None]:
        """Free the prefetch slot of a message that cannot be settled: Redis delivers it again later.

        kombu keeps the slot taken. A worker of two processes that missed two acknowledgements during
        a network outage stayed connected, and never received a task again.
        """
        try:
            yield
        except self.channel.connection_errors:
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):
    """Receives messages by the script RECEIVE.

    kombu calls `_brpop_start` to send a poll, and `_brpop_read` once there is a reply.
    """

    # What the stubs lack or know as another class.
    connection: Any
    connection_errors: Any
    qos: Any
    _q_for_pri: Any
    _queue_cycle: Any
    _flush_brpop_reauth: Any

    QoS = QoS
    waits_first = (
        False  # the last poll found no message, so the next waits for one before it receives
    )
    out_of_memory = False  # Redis refused the last wait for lack of memory

    def _connparams(self, asynchronous: bool = False) -> Any:
        """Report a closed connection as a connection error.

        When Redis dies while a worker polls on several channels, the first one that fails to close
        keeps Celery 5.7 from closing the others. A late acknowledgement, or the second attempt to
        close, then raises AttributeError. The worker does not handle that as a connection error: it exits.
        """
        if getattr(self.connection, "client", None) is None:
            raise RedisConnectionError("the connection is closed")
        return super()._connparams(asynchronous)  # type: ignore[misc] # the stubs lack it

    def _has_queue(self, queue: str, **_: Any) -> bool:
        """Return whether a queue holds a message; kombu 5.7 looks for a key without `global_keyprefix`."""
        return bool(self._size(queue))

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Send a poll; if the last one found no message, wait for one first.

        Both commands go out together, so the message that ends the wait is received without another
        round trip. When several workers wait for a list, all of them poll and one receives.
        """
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        names = [self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues]
        names += [self.unacked_key, self.unacked_index_key]
        keys = [f"{self.global_keyprefix}{name}" for name in names]
        timeout = timeout or self.brpop_timeout
        seconds = min(POLL_INTERVAL, timeout) if len(queues) > 1 else timeout
        wait = [self._wait_command(keys[0], seconds)] if self.waits_first else []
        received_at = time.time() + (seconds if wait else 0)  # or a little earlier
        receive = ("EVAL", RECEIVE, len(keys), *keys, received_at)
        connection = self.client.connection
        self._in_poll, self._brpop_sent_at = connection, time.monotonic()
        connection.send_packed_command(connection.pack_commands([*wait, receive]))

    def _wait_command(self, key: str, seconds: float) -> tuple[object, ...]:
        """Return the command that waits until a list holds a message.

        BLMOVE puts the last element back where it was. A Redis that is out of memory refuses it, so
        then only time passes: no client can publish anyway.
        """
        if self.out_of_memory:
            return ("BRPOP", f"{key}{self.sep}nothing", seconds)
        return ("BLMOVE", key, key, "RIGHT", "RIGHT", seconds)

    def _brpop_read(self, **_: Any) -> bool:
        """Read the replies of a poll, and deliver the message.

        Raises:
            Empty: there was none.
        """
        try:
            received = self._read_poll()
            self.waits_first = not received
            if not received:
                raise Empty
            self._deliver_received(*received)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        return True

    def _read_poll(self) -> Any:
        """Return what the script returned; close a connection that failed, so that kombu opens another."""
        try:
            waited = self._read_reply() if self.waits_first else None
            received = self._read_reply()
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        self.out_of_memory = isinstance(waited, OutOfMemoryError)
        for reply in (received, None if self.out_of_memory else waited):
            if isinstance(reply, ResponseError):
                raise reply
        return received

    def _read_reply(self) -> Any:
        """Return the next reply, or the error that it is: another reply may follow."""
        try:
            return self.client.parse_response(self.client.connection, "EVAL")
        except ResponseError as error:
            return error

    def _deliver_received(self, key: bytes, raw: bytes, tag: bytes | None) -> None:
        """Pass a message to the consumer of its queue.

        A consumer without acknowledgements, such as `celery inspect` has for its replies, leaves the
        tag in place: then the message is no longer tracked.
        """
        name = bytes_to_str(key).removeprefix(self.global_keyprefix)
        queue = name.rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        transport = self.connection
        transport.tracked_tag = bytes_to_str(tag) if tag else None
        try:
            transport._deliver(parse_message(raw, queue), queue)
        finally:
            if transport.tracked_tag:
                self.qos._remove_from_indices(transport.tracked_tag).execute()


class Transport(redis.Transport):
    Channel = Channel
    tracked_tag: str | None = None  # of the message under delivery, tracked by the script


class SentinelChannel(Channel, redis.SentinelChannel):
    pass


class SentinelTransport(Transport, redis.SentinelTransport):
    Channel = SentinelChannel
