"""What is checked before a worker or Beat starts. Celery runs Django's checks, and ignores what they find."""

import sys
from collections.abc import Iterator
from typing import Any

from celery import current_app
from celery.concurrency import get_implementation
from celery.concurrency.prefork import TaskPool
from django.core.checks import ERROR, run_checks


def exit_if_misconfigured(pool: Any = None) -> None:
    """End this process, with one line for each reason, if it could not keep the engine's promises.

    Args:
        pool: the pool of a worker, as Celery gives it: a class, a name, or None for its setting.
    """
    if errors := [*pool_errors(pool), *check_errors()]:
        sys.exit("\n".join(errors))


def pool_errors(pool: Any) -> Iterator[str]:
    """Yield why a pool cannot be used: in others than prefork no task has a hard time limit."""
    chosen = get_implementation(pool or current_app.conf.worker_pool)
    if not issubclass(chosen, TaskPool):
        name = chosen.__module__.rpartition(".")[2]
        yield (
            f"celery worker: the pool {name!r} cannot end a task at its hard time limit, so a "
            "durable task could run twice: use --pool=prefork, with --concurrency for more processes"
        )


def check_errors() -> Iterator[str]:
    """Yield the errors of `manage.py check --tag celery`."""
    for found in run_checks(tags=["celery"]):
        if found.is_serious(ERROR) and not found.is_silenced():
            yield " ".join(f"{found.msg}: {found.hint or ''} ({found.id})".split())
