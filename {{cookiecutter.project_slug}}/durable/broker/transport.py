"""Take a message and note it as unacknowledged in one step, where kombu 5.7 takes two.

kombu pops a message with BRPOP, and notes it by a command of its own when it has the answer. A worker
that is killed or cut off in between takes the message along, and of a plain task nothing is left. Here
a script does both inside Redis. durable/tests/faults/test_taking.py tells when kombu does it by itself.
"""

import time
from queue import Empty
from typing import Any

import structlog
from kombu.transport import virtual
from kombu.transport.redis import Channel, QoS, Transport
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.exceptions import OutOfMemoryError, ResponseError

logger = structlog.get_logger(__name__)

# Keys: the lists in the order in which they are looked at, then what kombu calls `unacked` and
# `unacked_index`. Argument: since when the message counts as taken, in the worker's time like all
# that kombu notes and compares. The entry has kombu's form, and holds the message as it came.
# RPOP is first since a Redis that is full refuses a script only if its first write needs memory.
TAKE = """
local function entry_of(message)
    local properties = cjson.decode(message).properties
    local target = properties.delivery_info
    local parts = {message, cjson.encode(target.exchange), cjson.encode(target.routing_key)}
    return properties.delivery_tag .. '', '[' .. table.concat(parts, ', ') .. ']'
end
for index = 1, #KEYS - 2 do
    local message = redis.call('RPOP', KEYS[index])
    if message then
        local readable, tag, entry = pcall(entry_of, message)
        if readable then
            redis.call('HSET', KEYS[#KEYS - 1], tag, entry)
            redis.call('ZADD', KEYS[#KEYS], ARGV[1], tag)
        end
        return {KEYS[index], message, readable and tag}
    end
end
"""
# Seconds. Redis cannot wait for several lists without taking from one, so a worker of several queues
# waits for the first of them, and looks at all this often. One of a single queue looks once a second.
LOOK = 0.05

channel_class: Any = Channel
transport_class: Any = Transport
qos_class: Any = QoS
brpop_start, brpop_read = channel_class._brpop_start, channel_class._brpop_read
append = qos_class.append


def ask(channel: Any) -> None:
    """Ask Redis for a message; if there was none before, wait for one first.

    Both commands go out together, so a message that ends the wait is taken without another
    round trip. Of several workers that wait for a list, all look then and one takes it.
    """
    queues = channel._queue_cycle.consume(len(channel.active_queues))
    if not queues:
        return
    names = [channel._q_for_pri(queue, step) for step in channel.priority_steps for queue in queues]
    keys = [
        f"{channel.global_keyprefix}{name}"
        for name in (*names, channel.unacked_key, channel.unacked_index_key)
    ]
    seconds = min(LOOK, channel.brpop_timeout) if len(queues) > 1 else channel.brpop_timeout
    wait = [wait_for(channel, keys[0], seconds)] if channel.waits else []
    taken_at = time.time() + (seconds if wait else 0)  # or a little earlier
    take = ("EVAL", TAKE, len(keys), *keys, taken_at)
    connection = channel.client.connection
    channel._in_poll, channel._brpop_sent_at = connection, time.monotonic()
    connection.send_packed_command(connection.pack_commands([*wait, take]))


def wait_for(channel: Any, key: str, seconds: float) -> tuple[object, ...]:
    """Return the command that waits until a list holds something.

    It puts the last element where it is already. A Redis that is full refuses that, and only time
    passes: nobody can publish anyway.
    """
    if channel.is_full:
        return ("BRPOP", f"{key}{channel.sep}nothing", seconds)
    return ("BLMOVE", key, key, "RIGHT", "RIGHT", seconds)


def read(channel: Any, **_: Any) -> bool:
    """Read the answer, and deliver what was taken."""
    try:
        taken = answer(channel)
        channel.waits = not taken
        if not taken:
            raise Empty
        deliver(channel, *taken)
    finally:
        channel._in_poll = None
        channel._flush_brpop_reauth()
    return True


def answer(channel: Any) -> Any:
    """Return what the script took, or None; a connection that failed is closed, so kombu makes another."""
    try:
        waited = reply(channel) if channel.waits else None
        taken = reply(channel)
    except channel.connection_errors:
        channel.client.connection.disconnect()
        raise
    channel.is_full = isinstance(waited, OutOfMemoryError)
    for refusal in (taken, None if channel.is_full else waited):
        if isinstance(refusal, ResponseError):
            raise refusal
    return taken


def reply(channel: Any) -> Any:
    """Return the next reply, also if it is a refusal: another one may follow it."""
    try:
        return channel.client.parse_response(channel.client.connection, "EVAL")
    except ResponseError as refusal:
        return refusal


def deliver(channel: Any, key: bytes, raw: bytes, tag: bytes | None) -> None:
    """Give a message to who consumes its queue.

    What nobody keeps until it is acknowledged, like the answers to `celery inspect`, is noted no longer.
    """
    name = bytes_to_str(key).removeprefix(channel.global_keyprefix)
    queue = name.rsplit(channel.sep, 1)[0]
    channel._queue_cycle.rotate(queue)
    transport = channel.connection
    transport.noted = bytes_to_str(tag) if tag else None
    try:
        if message := parse(raw, queue):
            transport._deliver(message, queue)
    finally:
        if transport.noted:
            channel.qos._remove_from_indices(transport.noted).execute()


def parse(raw: bytes, queue: str) -> Any:
    """Return a message; one that is none, which would end a worker, is logged and dropped."""
    try:
        message = loads(bytes_to_str(raw))
        message["properties"]["delivery_tag"]
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        logger.error("no_message", queue=queue, bytes=len(raw), error=repr(error))  # noqa: TRY400 - the trace tells no more
        return None
    return message


def keep(qos: Any, message: Any, delivery_tag: str) -> None:
    """Count a message among those that wait for their acknowledgement; the script has noted it."""
    transport = qos.channel.connection
    if transport.noted != delivery_tag:
        append(qos, message, delivery_tag)
        return
    transport.noted = None
    virtual.QoS.append(qos, message, delivery_tag)


channel_class.waits = channel_class.is_full = False
transport_class.noted = None
channel_class._brpop_start, channel_class._brpop_read = ask, read
qos_class.append = keep
