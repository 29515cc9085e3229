"""Lists and pages of tasks and emails, and the actions on them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from celery import current_app
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from durable.console import bulk as bulk_jobs
from durable.console import details
from durable.console.access import ProblemError, console_page, frame, is_refresh, may, need
from durable.console.actions import Action, move_task, perform
from durable.console.kinds import TASKS, Kind
from durable.console.models import BulkJob
from durable.console.states import WINDOW

PER_PAGE = 50
MAX_PAGES = WINDOW // PER_PAGE
MAX_BULK = 1_000  # rows that one request changes: some seconds of one transaction


@require_safe
@never_cache
@console_page
def index(request: HttpRequest, kind: Kind) -> HttpResponse:
    """List the rows that match the filters."""
    form, number = kind.filters(request.GET), page_number(request)
    rows, cut = form.matching(form.rows())  # type: ignore[attr-defined] # each kind's form has it
    begin = (number - 1) * PER_PAGE
    found = list(rows[begin : begin + PER_PAGE + 1])
    if number > 1 and not found:
        raise ProblemError(404, "There is no such page", "The list has fewer pages.")
    query = without_page(request.GET)
    context = {
        "frame": frame(request),
        "kind": kind,
        "form": form,
        "query": query,
        "rows": [(row, kind.state_of(row)) for row in found[:PER_PAGE]],
        "number": number,
        "previous": number - 1,
        "next": number + 1 if len(found) > PER_PAGE and number < MAX_PAGES else 0,
        "cut": cut,
        "window": f"{WINDOW:,}",
        "filtered": any(value for name, value in form.cleaned_data.items() if name != "state"),
        "max_bulk": f"{WINDOW:,}",
        "actions": kind.actions_for(request.user, form.cleaned_data["state"]),
    }
    return render(request, f"console/{kind.plural}.html", context)


def page_number(request: HttpRequest) -> int:
    """Return the number of the page that is asked for, or raise ProblemError."""
    text = request.GET.get("page", "1")
    if not (text.isascii() and text.isdigit()):
        raise ProblemError(400, "Invalid page", f"page: {text[:20]!r} is not a number.")
    number = int(text[:9])
    if not 1 <= number <= MAX_PAGES:
        detail = f"The list has {MAX_PAGES} pages at most. Use the filters to find later rows."
        raise ProblemError(404, "There is no such page", detail)
    return number


def without_page(query: QueryDict) -> str:
    """Return the filters of a query, for links and forms."""
    filters = query.copy()
    filters.pop("page", None)
    for name in [name for name, value in filters.items() if not value]:
        del filters[name]
    return filters.urlencode()


@require_safe
@never_cache
@console_page
def detail(request: HttpRequest, kind: Kind, pk: UUID) -> HttpResponse:
    """Show one row."""
    row = kind.get(pk)
    state = kind.state_of(row)
    shown = details.of_task(row, state) if kind.name == "task" else details.of_email(row)
    actions = [
        action
        for action in kind.actions_for(request.user, state)
        if not (action.repeats and shown["repeated"])
    ]
    context = {"kind": kind, "row": row, "state": state, "actions": actions, **shown}
    if kind is TASKS and row.status == row.QUEUED and may(request.user, "move_work"):
        context["queues"] = sorted({*current_app.amqp.queues} - {row.queue})
    return render(request, f"console/{kind.name}.html", context)


@require_POST
@console_page
def act(request: HttpRequest, kind: Kind, pk: UUID, action: str) -> HttpResponse:
    """Do something to one row."""
    chosen = kind.action(action)
    need(request.user, chosen.permission)
    kind.get(pk)
    report(request, chosen, 1, perform(request.user, kind.name, chosen, [pk]))
    if kind.model.objects.filter(pk=pk).exists():
        return redirect(f"console:{kind.name}", pk=pk)
    return redirect(f"console:{kind.plural}")


@require_POST
@console_page
def move(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Move a waiting task to another queue."""
    need(request.user, "move_work")
    queue = request.POST.get("queue", "")
    if queue not in current_app.amqp.queues:
        raise ProblemError(400, "There is no such queue", repr(queue[:50]))
    run = TASKS.get(pk)
    if move_task(request.user, run, queue):
        messages.success(request, f"{run.name} waits in {queue}.")
    else:
        messages.warning(
            request, f"{run.name} was not moved: it is already in that queue, or no longer waits."
        )
    return redirect("console:task", pk=pk)


def report(request: HttpRequest, action: Action, count: int, result: Any) -> None:
    """Tell the person what was done."""
    text = f"{result.changed} of {count} {action.done}."
    if result.changed < count and not result.problems:
        text += " The others changed in the meantime or were in another state."
    level = messages.SUCCESS if result.changed else messages.WARNING
    messages.add_message(request, level, text)
    for problem in result.problems:
        messages.warning(request, problem)


@require_POST
@console_page
def bulk(request: HttpRequest, kind: Kind) -> HttpResponse:
    """Do something to several rows, once the person has confirmed how many they are."""
    action = kind.action(request.POST.get("action", ""))
    need(request.user, action.permission)
    query = QueryDict(request.POST.get("query", ""))
    back = f"{reverse(f'console:{kind.plural}')}?{without_page(query)}"
    if "total" in request.POST:
        return start_job(request, kind, action, query)
    if "confirmed" in request.POST:
        pks = list(parse_keys(request.POST["confirmed"].split()))
        detail = request.POST.get("chosen", "")[:500]
        result = perform(request.user, kind.name, action, pks, detail)
        report(request, action, len(pks), result)
        return redirect(back)
    pks, chosen = chosen_rows(request.POST, kind, query)
    count, in_background = len(pks), len(pks) > MAX_BULK
    if not pks:
        messages.warning(request, f"Nothing changed: select at least one {kind.name}.")
        return redirect(back)
    context = {
        "kind": kind,
        "action": action,
        "count": count,
        "pks": [] if in_background else pks,
        "in_background": in_background,
        "chosen": chosen,
        "back": back,
        "query": without_page(query),
    }
    return render(request, "console/confirm.html", context)


def start_job(request: HttpRequest, kind: Kind, action: Action, query: QueryDict) -> HttpResponse:
    """Start a confirmed action on many rows in the background, and show its progress."""
    kind.filters(query)
    text = request.POST["total"]
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= WINDOW):
        raise ProblemError(400, "Invalid number of rows", repr(text[:20]))
    job = bulk_jobs.start(request.user, kind, action, without_page(query), int(text[:9]))
    return redirect("console:job", pk=job.pk)


@require_safe
@never_cache
@console_page
def job(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show the progress of an action in the background; HTMX asks for the part that changes."""
    found = BulkJob.objects.select_related("entry").filter(pk=pk).first()
    if found is None:
        raise ProblemError(404, "There is no such action", "Its audit entry was purged.")
    template = "console/job_content.html" if is_refresh(request) else "console/job.html"
    plural = bulk_jobs.KINDS[found.entry.kind].plural
    return render(request, template, {"job": found, "back": reverse(f"console:{plural}")})


def chosen_rows(post: QueryDict, kind: Kind, query: QueryDict) -> tuple[list[UUID], str]:
    """Return the keys of the rows to change, and how they were chosen."""
    if "all" not in post:
        return list(parse_keys(post.getlist("pk"))), "selected"
    form = kind.filters(query)
    rows, _cut = form.matching(kind.model.objects.all())
    pks = list(rows.values_list("pk", flat=True)[:WINDOW])
    return pks, f"filter: {without_page(query) or 'none'}"


def parse_keys(texts: list[str]) -> Iterator[UUID]:
    """Yield the keys of rows, or raise ProblemError."""
    limit(len(texts))
    for text in texts:
        try:
            yield UUID(text)
        except ValueError:
            raise ProblemError(400, "Invalid id", repr(text[:50])) from None


def limit(count: int) -> None:
    """Raise ProblemError for more rows than one action may change."""
    if count > MAX_BULK:
        detail = f"More than {MAX_BULK:,} rows match. Use the filters to choose fewer."
        raise ProblemError(400, "Too many rows", detail)
