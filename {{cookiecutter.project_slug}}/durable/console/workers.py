"""The pages of what runs in the workers, and of the messages that wait in a queue."""

from typing import Any

from celery import current_app
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from durable.broker.circuit import circuit
from durable.console import overview
from durable.console.access import ProblemError, console_page, frame, may, need
from durable.console.actions import perform
from durable.console.audit import record
from durable.console.kinds import TASKS
from durable.console.messages import MAX_MESSAGES, waiting_messages
from durable.console.models import AuditEntry
from durable.console.work import report
from durable.errors import BROKER_ERRORS
from durable.health.queues import ask_workers
from durable.tasks.enqueue import row_id
from durable.tasks.models import PausedQueue
from durable.tasks.stopping import kill_processes

REDIS_IS_AWAY = "Redis does not answer"


@require_safe
@never_cache
@console_page
def index(request: HttpRequest) -> HttpResponse:
    """Show what each process of each worker runs."""
    lengths, answers = overview.read_broker()
    workers = overview.describe_workers(answers or {})
    context = {
        "frame": frame(request),
        "redis_is_away": answers is None,
        "workers": workers,
        "received": any(worker["received"] for worker in workers),
        "silent": overview.silent_workers(answers, overview.running_tasks()[1]),
        "lengths": lengths,
        "may_stop": may(request.user, "stop_work"),
    }
    return render(request, "console/workers.html", context)


@require_safe
@never_cache
@console_page
def queue(request: HttpRequest, queue: str) -> HttpResponse:
    """Show the messages that wait in a queue."""
    if queue not in current_app.amqp.queues:
        raise ProblemError(404, "There is no such queue", queue[:100])
    try:
        with circuit.guard():
            found = waiting_messages(queue)
    except BROKER_ERRORS:
        raise ProblemError(503, REDIS_IS_AWAY, "The messages are unknown. Try again.") from None
    paused = PausedQueue.objects.filter(queue=queue).first()
    context = {"queue": queue, "waiting": found, "paused": paused, "max": MAX_MESSAGES}
    return render(request, "console/queue.html", context)


@require_POST
@console_page
def stop(request: HttpRequest) -> HttpResponse:
    """Stop a task that runs; see durable/tasks/stopping.py."""
    need(request.user, "stop_work")
    task_id = request.POST.get("task_id", "")
    run = find_run(task_id)
    if run["durable"]:
        action = TASKS.action("stop")
        report(request, action, 1, perform(request.user, "task", action, [row_id(task_id)]))
    else:
        stop_plain(request.user, run)
        messages.success(request, f"{run['name']} is stopped.")
    overview.forget_workers()
    return redirect("console:workers")


def find_run(task_id: str) -> dict[str, Any]:
    """Return what a worker answers about a task that runs, or raise ProblemError."""
    try:
        with circuit.guard():
            workers = ask_workers()
    except BROKER_ERRORS:
        raise ProblemError(503, REDIS_IS_AWAY, "Nothing was stopped. Try again.") from None
    for worker in workers.values():
        for run in worker.get("runs", ()):
            if run["id"] == task_id:
                return dict(run)
    raise ProblemError(
        404, "This task is not running", "It has ended, or its worker does not answer."
    )


def stop_plain(user: Any, run: dict[str, Any]) -> None:
    """Stop a plain task, and record it."""
    target = f"{run['name']} {run['id']}"[: AuditEntry._meta.get_field("target").max_length]
    with transaction.atomic():
        record(user, AuditEntry.Action.STOP, "plain task", target=target)
        if not kill_processes([run["id"]]):
            raise ProblemError(503, REDIS_IS_AWAY, "Nothing was stopped. Try again.")
