"""What people can do to work. Each action changes only rows that still are as the action needs them.

If two people act at once, each row changes once, and each person sees how many rows they changed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from durable.console.audit import record
from durable.db import on_commit_robust
from durable.mail.api import publish_on_commit, resend_all
from durable.mail.models import Email
from durable.requeue import publish_all
from durable.tasks import enqueue, stopping
from durable.tasks.failures import replay
from durable.tasks.models import TaskRun

MAX_PROBLEMS = 5  # that are shown of one action


@dataclass
class Result:
    """What an action did.

    Args:
        changed: rows.
        problems: why others were not, for people.
    """

    changed: int
    problems: Sequence[str] = ()


@dataclass(frozen=True)
class Action:
    """Something that people can do to rows.

    Args:
        name: in URLs and in the audit log.
        label: of its button.
        done: what has happened to a row.
        permission: that it needs.
        states: of the rows that it can change.
        apply: does it to the rows with some keys, in the caller's transaction.
        destructive: whether it cannot be undone.
        repeats: whether it makes a copy of the row, and so is done once.
    """

    name: str
    label: str
    done: str
    permission: str
    states: frozenset[str]
    apply: Callable[[Sequence[UUID]], Result]
    destructive: bool = False
    repeats: bool = False


def perform(user: Any, kind: str, action: Action, pks: Sequence[UUID], detail: str = "") -> Result:
    """Do an action and record it, in one transaction.

    Args:
        user: who acts.
        kind: "task" or "email".
        action: what to do.
        pks: the keys of the rows.
        detail: how they were chosen, for the audit log.
    """
    target = str(pks[0]) if len(pks) == 1 else f"{len(pks)} {kind}s"
    with transaction.atomic():
        result = action.apply(sorted(pks))
        record(user, action.name, kind, target=target, count=result.changed, detail=detail)
    return result


def replay_tasks(pks: Sequence[UUID]) -> Result:
    """Replay failed tasks that have not been replayed."""
    failed = TaskRun.objects.filter(pk__in=pks, status=TaskRun.Status.FAILED).order_by("pk")
    rows = list(failed.defer("traceback").select_for_update())
    # Read when the rows are locked: another replay has ended by then.
    replayed = set(TaskRun.objects.filter(replay_of__in=rows).values_list("replay_of", flat=True))
    problems = []
    new = [row for row in rows if row.pk not in replayed]
    for row in new:
        try:
            replay(row)
        except ValueError as error:
            problems.append(str(error))
    return Result(len(new) - len(problems), problems[:MAX_PROBLEMS])


def cancel_tasks(pks: Sequence[UUID]) -> Result:
    """Cancel tasks that no worker has started."""
    return Result(sum(enqueue.cancel(str(pk)) for pk in pks))


def stop_tasks(pks: Sequence[UUID]) -> Result:
    """Cancel tasks that run, and end their processes."""
    return Result(len(stopping.stop(pks)))


def move_task(user: Any, run: TaskRun, queue: str) -> bool:
    """Move a waiting task to another queue, and record it; return whether it still waited elsewhere.

    Its message in the old queue stays. The first worker that receives either of them runs the task.
    """
    waiting = TaskRun.objects.filter(pk=run.pk, status=TaskRun.Status.QUEUED).exclude(queue=queue)
    with transaction.atomic():
        moved = bool(waiting.update(queue=queue))
        detail = f"from {run.queue} to {queue}"
        record(user, "move", "task", target=str(run.pk), count=int(moved), detail=detail)
        if moved and run.next_attempt_at <= timezone.now():
            row = TaskRun.objects.only("name", "queue", "options").get(pk=run.pk)
            on_commit_robust(publish_all, [row], enqueue.publish)
    return moved


def run_tasks(pks: Sequence[UUID]) -> Result:
    """Let tasks start now that are due later."""
    moved = move_to_now(TaskRun, pks)
    rows = TaskRun.objects.filter(pk__in=moved).only("name", "queue", "options")
    on_commit_robust(publish_all, rows, enqueue.publish)
    return Result(len(moved))


def move_to_now(model: Any, pks: Iterable[UUID]) -> list[UUID]:
    """Make queued rows due that are due later; return the keys of those."""
    later = model.objects.filter(status=model.QUEUED, next_attempt_at__gt=Now())
    return [pk for pk in pks if later.filter(pk=pk).update(next_attempt_at=Now())]


def discard_tasks(pks: Sequence[UUID]) -> Result:
    """Delete failed tasks."""
    failed = TaskRun.objects.filter(pk__in=pks, status=TaskRun.Status.FAILED)
    return Result(failed.only("pk").delete()[1].get(TaskRun._meta.label, 0))


def resend_emails(pks: Sequence[UUID]) -> Result:
    """Queue copies of finished emails that have no copy yet."""
    rows = Email.objects.filter(pk__in=pks).exclude(status__in=Email.UNFINISHED).order_by("pk")
    finished = list(rows.select_for_update().values_list("pk", flat=True))
    copied = Email.objects.filter(resend_of__in=finished).values_list("resend_of", flat=True)
    new = set(finished) - set(copied)  # read when the rows are locked
    return Result(len(resend_all(Email.objects.filter(pk__in=new))))


def cancel_emails(pks: Sequence[UUID]) -> Result:
    """Cancel emails that no worker has started to send."""
    return Result(Email.objects.filter(pk__in=pks).cancel())


def run_emails(pks: Sequence[UUID]) -> Result:
    """Send emails now that wait for their next attempt."""
    moved = move_to_now(Email, pks)
    publish_on_commit(list(Email.objects.filter(pk__in=moved).only("status")))
    return Result(len(moved))


FINISHED_EMAILS = frozenset(Email.Status) - {*Email.UNFINISHED}
TASK_ACTIONS = (
    Action(
        "replay",
        "Replay",
        "replayed",
        "replay_work",
        frozenset({"failed", "canceled"}),
        replay_tasks,
        repeats=True,
    ),
    Action(
        "run", "Run now", "due now", "run_work", frozenset({"scheduled", "retrying"}), run_tasks
    ),
    Action(
        "cancel",
        "Cancel",
        "canceled",
        "cancel_work",
        frozenset({"scheduled", "queued", "retrying"}),
        cancel_tasks,
    ),
    Action(
        "stop",
        "Stop",
        "stopped",
        "stop_work",
        frozenset({"running"}),
        stop_tasks,
        destructive=True,
    ),
    Action(
        "discard",
        "Discard",
        "discarded",
        "discard_work",
        frozenset({"failed", "canceled"}),
        discard_tasks,
        destructive=True,
    ),
)
EMAIL_ACTIONS = (
    Action(
        "resend",
        "Resend",
        "resent",
        "replay_work",
        FINISHED_EMAILS,
        resend_emails,
        repeats=True,
    ),
    Action("run", "Send now", "due now", "run_work", frozenset({"retrying"}), run_emails),
    Action(
        "cancel",
        "Cancel",
        "canceled",
        "cancel_work",
        frozenset({"queued", "retrying"}),
        cancel_emails,
    ),
)
