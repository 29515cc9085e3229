"""The first page, the pauses of queues, and the audit log."""

from celery import current_app
from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from durable.console import overview
from durable.console.access import ProblemError, console_page, may, need
from durable.console.audit import record
from durable.console.models import AuditEntry
from durable.tasks.models import PausedQueue
from durable.tasks.pausing import notify_workers

PER_PAGE = 50
MAX_ENTRIES = 200  # of the audit log, the newest


@require_safe
@never_cache
@console_page
def index(request: HttpRequest) -> HttpResponse:
    """Show queues, workers, Beat and emails."""
    return show(request, "console/overview.html")


@require_safe
@never_cache
@console_page
def content(request: HttpRequest) -> HttpResponse:
    """Show the part of that page which polls."""
    return show(request, "console/overview_content.html")


def show(request: HttpRequest, template: str) -> HttpResponse:
    context = overview.read() | {"may_pause": may(request.user, "pause_queues")}
    return render(request, template, context)


@require_POST
@console_page
def pause(request: HttpRequest, queue: str) -> HttpResponse:
    """Pause a queue."""
    need(request.user, "pause_queues")
    if queue not in current_app.amqp.queues:
        raise ProblemError(404, "There is no such queue", queue)
    name = str(request.user)[: PausedQueue._meta.get_field("paused_by").max_length]
    with transaction.atomic():
        _row, new = PausedQueue.objects.get_or_create(queue=queue, defaults={"paused_by": name})
        finish(request, AuditEntry.Action.PAUSE, queue, changed=new)
    text = f"{queue} is paused. Workers finish what they have received." if new else ""
    messages.success(request, text or f"{queue} was paused already.")
    return redirect("console:overview")


@require_POST
@console_page
def resume(request: HttpRequest, queue: str) -> HttpResponse:
    """Resume a queue."""
    need(request.user, "pause_queues")
    with transaction.atomic():
        changed = PausedQueue.objects.filter(queue=queue).delete()[0]
        finish(request, AuditEntry.Action.RESUME, queue, changed=bool(changed))
    messages.success(request, f"{queue} {'is resumed' if changed else 'was not paused'}.")
    return redirect("console:overview")


def finish(request: HttpRequest, action: str, queue: str, *, changed: bool) -> None:
    """Record a pause or its end, and notify the workers after the commit."""
    record(request.user, action, "queue", target=queue, count=int(changed))
    for follow in (overview.forget_workers, notify_workers):
        transaction.on_commit(follow, robust=True)


@never_cache
@console_page
def missing(request: HttpRequest, rest: str) -> HttpResponse:
    """Show that the console has no page at an address."""
    raise ProblemError(404, "There is no such page", rest[:100])


@require_safe
@never_cache
@console_page
def audit(request: HttpRequest) -> HttpResponse:
    """List what people did, newest first."""
    newest = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True)[:MAX_ENTRIES]
    entries = AuditEntry.objects.filter(pk__in=list(newest)).select_related("job").order_by("-pk")
    paginator = Paginator(entries, PER_PAGE)
    number = request.GET.get("page", "1")
    if (
        not number.isascii()
        or not number.isdigit()
        or not 1 <= int(number[:9]) <= paginator.num_pages
    ):
        raise ProblemError(404, "There is no such page", f"page: {number[:20]!r}")
    return render(request, "console/audit.html", {"page": paginator.page(int(number))})
