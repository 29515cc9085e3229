"""System checks: `manage.py check --tag celery`. Django runs them before it starts."""

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import autodiscover_modules

from durable.conf import conf

WORKER = re.compile(
    r"^(?P<name>[\w-]+):.*\bcelery -A config worker\b(?P<options>[^\"\n]*)", re.MULTILINE
)


@register("celery")
def check_workers(**_: Any) -> list[CheckMessage]:
    """Compare the queues of config/queues.py with those of the workers in the Procfile.

    An image may lack the Procfile; then there is nothing to compare.
    """
    procfile = Path(settings.BASE_DIR, "Procfile")  # type: ignore[misc] # the plugin sees no imported name
    if not procfile.exists():
        return []
    queues = {queue.name for queue in settings.CELERY_TASK_QUEUES}
    listened: set[str] = set()
    errors: list[CheckMessage] = []
    for worker in WORKER.finditer(procfile.read_text(encoding="utf-8")):
        names = queues_of(worker["options"]) or queues
        listened |= names
        errors += [
            Error(
                f"Procfile: {worker['name']} listens to {name!r}, which is not in config/queues.py",
                hint=f"The queues are {', '.join(sorted(queues))}.",
                id="tasks.E001",
            )
            for name in sorted(names - queues)
        ]
    errors += [
        Error(
            f"config/queues.py: no worker in the Procfile listens to {name!r}",
            hint=f"Add a line such as: worker-{name}: celery -A config worker -Q {name} -n {name}@%h",
            id="tasks.E002",
        )
        for name in sorted(queues - listened)
    ]
    return errors


@register("celery")
def check_limits(**_: Any) -> list[CheckMessage]:
    """Compare the time limits of each task with each other and with the broker's visibility time-out."""
    longest = conf.visibility_timeout - conf.TASK_RETRY_MAX_DELAY - conf.TASK_LIMIT_MARGIN
    autodiscover_modules("tasks")  # not by Celery, which runs all checks as it imports the tasks
    return [
        Error(f"{task.name}: {fault}", hint=hint, id="tasks.E004")
        for task in current_app.tasks.values()
        for fault, hint in limit_faults(task.soft_time_limit, task.time_limit, longest)
    ]


@register("celery")
def check_tracing(**_: Any) -> list[CheckMessage]:
    """Refuse an endpoint that the exporter would fail to reach, time after time, in the background."""
    endpoint = conf.OTEL_EXPORTER_OTLP_ENDPOINT
    if not endpoint or re.fullmatch(r"https?://[^\s/]+(/\S*)?", endpoint):
        return []
    return [
        Error(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is {endpoint!r}, which is not the URL of a collector",
            hint="Set an address such as http://collector:4318, or remove the variable.",
            id="tasks.E005",
        )
    ]


def limit_faults(
    soft: float | None, hard: float | None, longest: float
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the limits of a task, in seconds, and what to do."""
    if not soft or not hard:
        yield "it has no time limit", "Add a line for it to ROUTES in config/queues.py."
        return
    if soft >= hard:
        yield (
            f"its soft limit of {soft:g} s is not below its hard limit of {hard:g} s",
            "Set both limits on the decorator, or none: then the table in config/queues.py decides.",
        )
    if hard > longest:
        yield (
            (
                f"its hard limit of {hard:g} s is above {longest:g} s, the longest of config/queues.py: "
                "Redis would deliver it to a second worker"
            ),
            "Raise hard_limit of its line in config/queues.py, and remove the limits from its decorator.",
        )


def queues_of(options: str) -> set[str]:
    """Return the queues of `-Q a,b` or `--queues a,b`, or nothing without such an option."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-Q", "--queues", default="")
    known, _ = parser.parse_known_args(shlex.split(options))
    return {name for name in known.queues.split(",") if name}
