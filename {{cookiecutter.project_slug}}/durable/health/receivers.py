"""Connects Celery's signals to the heartbeat; `DeclaredScheduler.tick` beats for Beat."""

import socket

from celery import signals

from durable import heartbeat


@signals.celeryd_init.connect
def start_worker(sender: str, **_: object) -> None:
    """Start the heartbeat of a worker: the sender is its node name."""
    heartbeat.start("worker", sender)


@signals.beat_init.connect
def start_beat(**_: object) -> None:
    """Start the heartbeat of Beat."""
    heartbeat.start("beat", socket.gethostname())


@signals.heartbeat_sent.connect
def beat(**_: object) -> None:
    """Beat when the worker does."""
    heartbeat.beat()
