"""Shows tasks that have failed for good, runs them again, or discards them."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from durable.tasks import failures
from durable.tasks.models import FailedTask
from durable.tasks.tasks import delete_in_slices


class Command(BaseCommand):
    """`manage.py failed_tasks list|run|discard [ID …] [--name NAME] [--error TYPE]`."""

    help = "List tasks that have failed for good, run them again, or discard them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to do, and with which tasks."""
        parser.add_argument("action", choices=("list", "run", "discard"))
        parser.add_argument("ids", nargs="*", metavar="ID")
        parser.add_argument("--name", help="only tasks of this name, as in orders.charge")
        parser.add_argument("--error", help="only this error, as in ConnectionError")
        parser.add_argument("--all", action="store_true", help="run or discard without a choice")

    def handle(self, *, action: str, **choice: Any) -> None:
        """Do it, and say with how many."""
        if action != "list" and not any(choice[key] for key in ("ids", "name", "error", "all")):
            raise CommandError(f"{action}: say which: ids, --name, --error, or --all")
        failed = self.chosen(**choice)
        {"list": self.show, "run": self.run, "discard": self.discard}[action](failed)

    def chosen(self, *, ids: list[str], name: str | None, error: str | None, **_: Any) -> Any:
        """Return the failed tasks that were asked for, the oldest first."""
        wanted = {"pk__in": ids, "name": name, "error_type": error}
        try:
            return (
                FailedTask.objects.filter(
                    **{field: value for field, value in wanted.items() if value}
                )
                .defer("traceback")
                .order_by("finished_at")
            )
        except ValidationError as fault:
            raise CommandError(f"ids: {' '.join(fault.messages)}") from None

    def show(self, failed: QuerySet[FailedTask]) -> None:
        """Print a line for each."""
        for task in failed.iterator():
            self.stdout.write(f"{task.pk}  {task.finished_at:%Y-%m-%d %H:%M}  {task.name}")
            self.stdout.write(f"    {task.last_error.splitlines()[0]}")
        self.stdout.write(f"{failed.count()} failed")

    def run(self, failed: QuerySet[FailedTask]) -> None:
        """Run each again, and say which cannot."""
        count, refused = 0, 0
        for task in failed.iterator():
            try:
                run = failures.run_again(task)
            except ValueError as reason:
                self.stderr.write(str(reason))
                refused += 1
            else:
                self.stdout.write(f"{task.pk} run again as {run.pk}: {run.status}")
                count += 1
        if refused:
            raise CommandError(f"{count} run again, {refused} cannot")

    def discard(self, failed: QuerySet[FailedTask]) -> None:
        """Delete each."""
        self.stdout.write(f"{sum(delete_in_slices(failed))} discarded")
