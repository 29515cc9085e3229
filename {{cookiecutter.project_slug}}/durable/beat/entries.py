"""One periodic task: its row, what is wrong with it, and when it is due."""

import json
from datetime import timedelta
from typing import Any

import structlog
from celery import current_app
from celery.schedules import schedstate
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry
from django_celery_beat.utils import NEVER_CHECK_TIMEOUT
from kombu.utils.json import loads

from durable.beat.crontab import Crontab
from durable.errors import DATABASE_ERRORS
from durable.tasks import validation
from durable.tasks.enqueue import HEADER
from durable.tasks.redaction import find_task
from durable.text import describe_error, dump_json, validate_text

logger = structlog.get_logger(__name__)

KINDS = ("interval", "crontab", "solar", "clocked")
MIN_INTERVAL = timedelta(seconds=1)  # a shorter one would keep Beat busy with a single entry
MOMENT = timedelta(microseconds=1)
MAX_PRIORITY = 255
MAX_COUNT = 2**31 - 1  # the column's


def find_problem(row: PeriodicTask) -> str:
    """Return why Beat cannot run a periodic task, or an empty string.

    Rows come from people and from other programs: whatever is wrong with one, the others must run.

    Raises:
        django.db.Error: the database does not answer.
    """
    try:
        for validate in (validate_schedule, validate_call, validate_options):
            validate(row)
    except DATABASE_ERRORS:
        raise
    except (TypeError, ValueError) as error:
        return " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001 - see above
        return " ".join(describe_error(error).split())
    return ""


def validate_schedule(row: PeriodicTask) -> None:
    """Raise for a schedule that is missing or has no next run."""
    kinds = [kind for kind in KINDS if getattr(row, kind)]
    if len(kinds) != 1:
        raise ValueError(f"schedule: set one of {', '.join(KINDS)}, not {len(kinds)} of them")
    if row.clocked and not row.one_off:
        raise ValueError("clocked: the task runs once: set one-off")
    now = timezone.now()
    try:
        schedule = schedule_of(row)
        schedule.is_due(min(row.last_run_at or now, now))
    except Exception as error:
        raise ValueError(f"{kinds[0]}: {error}") from error
    if row.interval and schedule.run_every < MIN_INTERVAL:
        raise ValueError(f"interval: {row.interval} is too short: use a second or more")


def validate_call(row: PeriodicTask) -> None:
    """Raise for a name or for arguments that the task cannot have."""
    for field in ("name", "task"):
        validate_text(field, getattr(row, field))
    if not row.task:
        raise ValueError("task: no name given")
    args, kwargs = load(row, "args", list), load(row, "kwargs", dict)
    validation.validate_size(row.task, dump_json("arguments", [args, kwargs]))
    if task := find_task(row.task):
        task.__header__(*args, **kwargs)


def validate_options(row: PeriodicTask) -> None:
    """Raise for options that Celery would refuse or ignore at each run."""
    queues = current_app.amqp.queues
    if row.queue and row.queue not in queues:
        raise ValueError(f"queue: {row.queue!r} is not one of {', '.join(queues)}")
    if row.exchange or row.routing_key:
        raise ValueError("exchange, routing key: this service has none: set a queue instead")
    if row.priority is not None and row.priority not in range(MAX_PRIORITY + 1):
        raise ValueError(f"priority: {row.priority} is not a number from 0 to {MAX_PRIORITY}")
    # Celery's own headers say what runs, and until when; the operator's would replace them.
    own = {*current_app.amqp.as_task_v2("", row.task).headers, HEADER}
    if taken := sorted(own & load(row, "headers", dict).keys()):
        raise ValueError(f"headers: {', '.join(taken)} belong to Celery: choose other names")
    given = {"expires": row.expires_, "priority": row.priority}
    durable = getattr(find_task(row.task), "durable", False)
    validation.validate_options(row.task, given, durable=durable)
    if row.expire_seconds:
        timezone.now() + timedelta(seconds=row.expire_seconds)


def load(row: PeriodicTask, field: str, kind: type) -> Any:
    """Return the JSON of a field.

    Raises:
        TypeError: it is of another type than `kind`.
        ValueError: it is no JSON.
    """
    words: dict[type, str] = {list: 'a list, such as ["a", 1]', dict: 'an object, such as {"a": 1}'}
    try:
        value = loads(getattr(row, field) or json.dumps(kind()))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{field}: {error}") from error
    if not isinstance(value, kind):
        raise TypeError(f"{field}: {json.dumps(value)[:100]} is not {words[kind]}")
    dump_json(field, value)
    return value


def schedule_of(row: PeriodicTask) -> Any:
    """Return the schedule of a row."""
    return Crontab.of(row.crontab) if row.crontab else row.schedule


class DeclaredEntry(ModelEntry):  # type: ignore[misc]
    """An entry that saves only the fields of its run, so that an operator's concurrent edit stays."""

    def __init__(self, model: PeriodicTask, app: Any = None) -> None:
        super().__init__(model, app=app)
        self.schedule = schedule_of(model)

    def is_due(self) -> schedstate:
        """Return whether the task is due, and the seconds until it is due the next time."""
        now, row, since = timezone.now(), self.model, self.last_run_at
        expired, done = row.expires and row.expires <= now, row.one_off and row.total_run_count
        if done:
            self.disable("one-off", total_run_count=0)
        elif expired:
            self.disable("expired")
        if not row.enabled:
            return schedstate(False, NEVER_CHECK_TIMEOUT)
        if row.start_time and row.crontab:
            since = max(since, row.start_time - MOMENT)
        elif row.start_time and now < row.start_time:
            return schedstate(False, (row.start_time - now).total_seconds())
        due: schedstate = self.schedule.is_due(since)
        return due

    def disable(self, reason: str, **values: Any) -> None:
        """Disable the row: its task will not run again."""
        self.model.enabled = False
        rows = PeriodicTask.objects.filter(pk=self.model.pk)
        rows.update(enabled=False, last_run_at=None, **values)
        logger.info("periodic_task_disabled", entry=self.name, reason=reason)

    def save(self) -> bool:
        """Save the run; False if the entry has just been disabled or deleted."""
        row = PeriodicTask.objects.filter(pk=self.model.pk, enabled=True)
        count = min(self.model.total_run_count, MAX_COUNT)
        return bool(row.update(last_run_at=self.model.last_run_at, total_run_count=count) == 1)
