"""Lists, replays or discards tasks that failed for good."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from durable.requeue import purge
from durable.tasks.failures import replay
from durable.tasks.models import FailedTask


class Command(BaseCommand):
    """`manage.py failed_tasks list|replay|discard [ID …] [--name NAME] [--error TYPE] [--all]`."""

    help = "List, replay or discard tasks that failed for good."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("list", "replay", "discard"))
        parser.add_argument("ids", nargs="*", metavar="ID")
        parser.add_argument("--name", help="only tasks of this name: orders.charge")
        parser.add_argument("--error", help="only tasks with this error: ConnectionError")
        parser.add_argument("--all", action="store_true", help="replay or discard all of them")

    def handle(self, *, action: str, **choice: Any) -> None:
        if action != "list" and not any(choice[key] for key in ("ids", "name", "error", "all")):
            raise CommandError(f"{action}: name the tasks: ids, --name, --error, or --all")
        failed = self.chosen(**choice)
        {"list": self.show, "replay": self.replay, "discard": self.discard}[action](failed)

    def chosen(self, *, ids: list[str], name: str | None, error: str | None, **_: Any) -> Any:
        """Return the failed tasks that the options name, the oldest first."""
        wanted = {"pk__in": ids, "name": name, "error_type": error}
        fields = {field: value for field, value in wanted.items() if value}
        try:
            return FailedTask.objects.filter(**fields).defer("traceback").order_by("finished_at")
        except ValidationError as fault:
            raise CommandError(f"ids: {' '.join(fault.messages)}") from None

    def show(self, failed: QuerySet[FailedTask]) -> None:
        """Print two lines for each."""
        for task in failed.iterator():
            self.stdout.write(f"{task.pk}  {task.finished_at:%Y-%m-%d %H:%M}  {task.name}")
            self.stdout.write(f"    {task.last_error.splitlines()[0]}")
        self.stdout.write(f"{failed.count()} failed")

    def replay(self, failed: QuerySet[FailedTask]) -> None:
        """Replay each, and report those that cannot be."""
        count, refused = 0, 0
        for task in failed.iterator():
            try:
                run = replay(task)
            except ValueError as reason:
                self.stderr.write(str(reason))
                refused += 1
            else:
                self.stdout.write(f"{task.pk} replayed as {run.pk}: {run.status}")
                count += 1
        if refused:
            raise CommandError(f"{count} replayed, {refused} cannot be replayed")

    def discard(self, failed: QuerySet[FailedTask]) -> None:
        """Delete each."""
        self.stdout.write(f"{purge(failed)} discarded")
