"""Actions on more rows than one request can change: a durable task works through them in the background.

Each page of rows is one transaction with the job's own progress. So a worker that dies repeats at
most a page that was rolled back, and every action changes a row only once.
"""

import time
from typing import Any
from uuid import UUID

from celery import shared_task
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.http import QueryDict

from durable.console.actions import MAX_PROBLEMS, Action
from durable.console.audit import record
from durable.console.kinds import EMAILS, TASKS, Kind
from durable.console.models import AuditEntry, BulkJob
from durable.tasks.base import DurableTask

PAGE = 500  # rows of one transaction: about a second
MAX_DURATION = 20.0  # seconds; then other tasks of the queue have their turn
KINDS = {kind.name: kind for kind in (TASKS, EMAILS)}


def start(user: Any, kind: Kind, action: Action, query: str, total: int) -> BulkJob:
    """Start an action on the rows that match a filter, and record it.

    Args:
        user: who acts.
        kind: of the rows.
        action: what to do.
        query: the filters of the list.
        total: how many rows the person has confirmed; no more are changed.
    """
    with transaction.atomic():
        target, detail = f"{total} {kind.plural}", f"filter: {query or 'none'}"[:500]
        entry = record(user, action.name, kind.name, target=target, count=0, detail=detail)
        job = BulkJob.objects.create(entry=entry, query=query, total=total)
        work_through.delay(str(job.pk))
    return job


@shared_task(base=DurableTask, name="console.work_through")
def work_through(job_id: str) -> None:
    """Work through the rows of a job, and call itself again after MAX_DURATION."""
    deadline = time.monotonic() + MAX_DURATION
    while work_through_page(job_id):
        if time.monotonic() > deadline:
            work_through.delay(job_id)
            return


def work_through_page(job_id: str) -> bool:
    """Change the next rows of a job; return whether it goes on."""
    with transaction.atomic():
        jobs = BulkJob.objects.select_for_update(of=("self",)).select_related("entry")
        job = jobs.filter(pk=job_id, ended_at=None).first()
        if job is None:  # it has ended, or its audit entry was purged
            return False
        pks = next_keys(job)
        if pks:
            result = KINDS[job.entry.kind].action(job.entry.action).apply(pks)
            count = F("count") + result.changed
            AuditEntry.objects.filter(pk=job.entry_id).update(count=count)
            job.problems = [*job.problems, *result.problems][:MAX_PROBLEMS]
            job.done, job.after = job.done + len(pks), pks[-1]
        goes_on = bool(pks) and job.done < job.total
        job.ended_at = None if goes_on else Now()
        job.save()
    return goes_on


def next_keys(job: BulkJob) -> list[UUID]:
    """Return the keys of the next rows that match, among those that existed when the job began."""
    kind = KINDS[job.entry.kind]
    rows, _cut = kind.filters(QueryDict(job.query)).matching(kind.model.objects.all())
    rows = rows.filter(queued_at__lte=job.entry.at).order_by("pk")
    if job.after:
        rows = rows.filter(pk__gt=job.after)
    return list(rows.values_list("pk", flat=True)[: min(PAGE, job.total - job.done)])
