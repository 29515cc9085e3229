"""Remote-control commands of workers: they run in a worker's main process, which imports this module."""

from typing import Any

from celery.worker import state as worker
from celery.worker.control import control_command, inspect_command
from celery.worker.request import Request

from durable.tasks import pausing
from durable.tasks.enqueue import HEADER

MAX_RECEIVED = 50  # tasks with a countdown are not bounded by the prefetch


@control_command(name=pausing.COMMAND)
def sync_paused_queues(state: Any, **_: Any) -> dict[str, str]:
    """Read the paused queues again."""
    # The consumer must not change in the middle of a read, in which this command arrives.
    state.consumer.call_soon(pausing.sync, state.consumer)
    return {"ok": "paused queues are read"}


@inspect_command(name="worker_status")
def worker_status(state: Any, **_: Any) -> dict[str, Any]:
    """Return the queues of this worker, what its processes run, and what it has received, without arguments."""
    runs = sorted(worker.active_requests, key=lambda request: request.time_start or 0)
    received = [*(set(worker.reserved_requests) - set(runs)), *scheduled(state.consumer.timer)]
    return {
        "queues": sorted(state.app.amqp.queues.consume_from),
        "paused": pausing.paused_here(),
        "processes": state.consumer.pool.num_processes,
        "waiting": len(received),  # for their time, or for a process
        "received": [
            {**about(request), "due": request.eta.timestamp() if request.eta else None}
            for request in received[:MAX_RECEIVED]
        ],
        "runs": [
            {**about(request), "since": request.time_start, "process": request.worker_pid}
            for request in runs
        ],
    }


def scheduled(timer: Any) -> list[Request]:
    """Return the tasks that wait for their time; Celery reserves them only then."""
    return [
        argument
        for waiting in list(timer.schedule.queue)
        for argument in waiting.entry.args or ()
        if isinstance(argument, Request)
    ]


def about(request: Any) -> dict[str, Any]:
    """Return what people need to know of a task in a worker."""
    return {
        "id": request.id,
        "name": request.name,
        "queue": request.delivery_info.get("routing_key"),
        "durable": bool(request.request_dict.get(HEADER)),
    }
