"""The step of a worker that runs last when it stops; only workers import this module."""

from typing import Any

from celery import bootsteps, current_app

from durable.tasks import metrics


class ForgetWorker(bootsteps.StartStopStep):
    """Stores the last numbers of a worker for `/metrics`, and that it is no more.

    Celery sends `worker_shutdown` after a warm shutdown only, and production has a soft one. The
    consumer stops before the other steps, and with it the heartbeat.
    """

    def stop(self, parent: Any) -> None:
        """Run after a warm shutdown."""
        metrics.stop(parent.hostname)

    terminate = stop  # after a soft or a cold one


current_app.steps["worker"].add(ForgetWorker)
