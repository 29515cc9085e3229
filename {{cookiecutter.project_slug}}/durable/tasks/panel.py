"""Remote-control commands of workers: they run in a worker's main process, which imports this module."""

from typing import Any

from celery.worker import state as worker
from celery.worker.control import control_command, inspect_command

from durable.tasks import pausing
from durable.tasks.enqueue import HEADER


@control_command(name=pausing.COMMAND)
def sync_paused_queues(state: Any, **_: Any) -> dict[str, str]:
    """Read the paused queues again."""
    # The consumer must not change in the middle of a read, in which this command arrives.
    state.consumer.call_soon(pausing.sync, state.consumer)
    return {"ok": "paused queues are read"}


@inspect_command(name="worker_status")
def worker_status(state: Any, **_: Any) -> dict[str, Any]:
    """Return the queues of this worker and what each of its processes runs, without arguments."""
    runs = sorted(worker.active_requests, key=lambda request: request.time_start or 0)
    return {
        "queues": sorted(state.app.amqp.queues.consume_from),
        "paused": pausing.paused_here(),
        "processes": state.consumer.pool.num_processes,
        "waiting": len(set(worker.reserved_requests) - set(runs)),  # for a retry or their start
        "runs": [
            {
                "id": request.id,
                "name": request.name,
                "since": request.time_start,
                "process": request.worker_pid,
                "queue": request.delivery_info.get("routing_key"),
                "durable": bool(request.request_dict.get(HEADER)),
            }
            for request in runs
        ],
    }
