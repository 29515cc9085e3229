"""The connections of the Celery app: kombu's, with the classes of durable/broker/transport.py.

The app gets them by `Celery(amqp="durable.broker.connection:AMQP")`, and remote-control commands on
connections of their own by `control="durable.broker.connection:Control"`. Nothing is patched. The
setting `broker_transport` is no substitute: kombu 5.7 ignores it for redis+socket:// and after a
failover to another URL, loses the default of rediss://, and shows the class as the URL's scheme,
which monitoring tools do not know.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import kombu
import structlog
from celery.app import amqp, control
from kombu import connection

from durable import heartbeat
from durable.broker.transport import SentinelTransport, Transport

logger = structlog.get_logger(__name__)

KOMBU = "5.7"  # the version whose private methods durable/broker overrides
TRANSPORTS = {"redis": Transport, "rediss": Transport, "sentinel": SentinelTransport}


class Connection(kombu.Connection):
    """A connection that uses the transports of this engine, and reconnects soon."""

    def get_transport_cls(self) -> Any:
        """Return the engine's transport for the URL's scheme, or kombu's for another scheme."""
        return TRANSPORTS.get(self.transport_cls) or super().get_transport_cls()

    def Pool(self, limit: int | None = None, **options: Any) -> "ConnectionPool":  # noqa: N802 - kombu's name
        return ConnectionPool(self, limit, **options)

    def _ensure_connection(
        self,
        errback: Callable[[Exception, float], None] | None = None,
        max_retries: int | None = None,
        interval_start: Any = 0.5,
        interval_step: Any = 0.5,
        interval_max: Any = 5,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Try to connect until it works; see kombu for the arguments.

        By default kombu waits 2, 4, 6 and up to 30 s between its attempts, so a worker would return
        half a minute after Redis did. One attempt every few seconds is no load for a server.
        Publishing calls this method too: a worker that cannot publish its events still beats.
        """

        def on_error(error: Exception, interval: float) -> None:
            heartbeat.beat(heartbeat.WAITING)
            if errback:
                errback(error, interval)

        return super()._ensure_connection(
            on_error, max_retries, interval_start, interval_step, interval_max, *args, **options
        )


class PooledConnection(Connection, connection.PooledConnection):
    pass


class ConnectionPool(connection.ConnectionPool):
    """A pool of the connections above; kombu's pool makes kombu's."""

    def new(self) -> PooledConnection:
        return PooledConnection(self, **dict(self.connection._info(resolve=False)))  # type: ignore[arg-type] # the stubs lack it


class AMQP(amqp.AMQP):
    Connection = BrokerConnection = Connection


class Control(control.Control):
    """Sends remote-control commands, such as `revoke` and `ping`."""

    def broadcast(  # type: ignore[override] # the stubs list what `options` passes on
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        destination: Sequence[str] | None = None,
        connection: Any = None,
        **options: Any,
    ) -> Any:
        """Send a command on a connection of its own, unless there is one; see Celery for the arguments.

        Celery 5.7 takes a connection of the pool and does not try again. Redis may have closed it since
        its last use, and the first command after a restart of Redis would fail.
        """
        if connection is not None:
            return super().broadcast(command, arguments, destination, connection, **options)
        with self.app.connection_for_write() as own:
            return super().broadcast(command, arguments, destination, own, **options)


def warn_if_kombu_is_untested() -> None:
    """Log a warning under another version of kombu than the one that this package was written for."""
    installed = version("kombu")
    if not installed.startswith(f"{KOMBU}."):
        logger.warning("kombu_untested", installed=installed, tested=KOMBU)


def set_worker_broker_timeouts(conf: Any) -> None:
    """Let a worker wait longer for its broker than a request may: it has nothing else to do.

    Args:
        conf: Celery's configuration; `worker_broker_timeout` holds the seconds.
    """
    conf.broker_transport_options |= {
        "socket_timeout": conf.worker_broker_timeout,
        "health_check_interval": conf.worker_broker_timeout,
    }
