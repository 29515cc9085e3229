"""Beat's scheduler: the schedule that is declared in code, kept in the database."""

from typing import Any

from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from apps.tasks import liveness

DECLARED = "Declared in config/schedule.py; changes of the time made here are overwritten."


class DeclaredScheduler(DatabaseScheduler):  # type: ignore[misc]
    """django-celery-beat's scheduler, which also forgets what the code no longer declares.

    A row that an operator made does not carry the mark and is left alone. Disabling a declared
    row in the admin holds.
    """

    def setup_schedule(self) -> None:
        """Bring the database in line with the code; Beat calls it when it starts."""
        PeriodicTask.objects.filter(description=DECLARED).exclude(
            name__in=self.app.conf.beat_schedule
        ).delete()
        super().setup_schedule()

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send what is due, at least every `beat_max_loop_interval`, and show that Beat lives."""
        liveness.give_sign()
        return super().tick(*args, **kwargs)

    def update_from_dict(self, mapping: dict[str, dict[str, Any]]) -> None:
        """Insert or update entries; those that are declared get the mark, Celery's own do not."""
        declared = self.app.conf.beat_schedule
        super().update_from_dict(
            {
                name: {**entry, "description": DECLARED} if name in declared else entry
                for name, entry in mapping.items()
            }
        )
