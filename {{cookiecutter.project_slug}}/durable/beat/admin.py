"""Periodic tasks and their schedules in the admin: what Beat cannot run is refused, or shown with the reason."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from durable.beat.entries import find_problem
from durable.beat.operate import publish
from durable.tasks.redaction import find_task
from durable.text import describe_error

CANNOT_RUN = "Beat cannot run it: {}"


class PeriodicTaskForm(beat.PeriodicTaskForm):  # type: ignore[misc]
    """Refuses what Beat cannot run. A row that is disabled may hold anything, so it can be disabled."""

    def _clean_json(self, field: str) -> str:
        try:
            return str(super()._clean_json(field))
        except (RecursionError, TypeError) as error:  # Beat's own expects a ValueError only
            raise ValidationError(f"Unable to parse JSON: {error}") from error

    def clean(self) -> dict[str, Any]:
        self.cleaned_data.setdefault("task", "")  # missing if it is too long
        data: dict[str, Any] = super().clean()
        if not find_task(data["task"]):
            self.add_error("task", "No task has this name.")
        return data

    def _post_clean(self) -> None:
        super()._post_clean()
        if not self.errors and self.instance.enabled and (problem := find_problem(self.instance)):
            self.add_error(None, CANNOT_RUN.format(problem))


class ScheduleForm(ModelForm):
    """Refuses a schedule that Beat cannot use, whichever field by itself is valid."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc] # the stubs lack it
        kind = self.instance._meta.model_name.removesuffix("schedule")
        row = PeriodicTask(name="new", task="new", one_off=True, **{kind: self.instance})
        if not self.errors and (problem := find_problem(row)):
            self.add_error(None, CANNOT_RUN.format(problem))


for model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(model)


@admin.register(ClockedSchedule, IntervalSchedule, SolarSchedule)
class ScheduleAdmin(beat.ScheduleAdmin):  # type: ignore[misc]
    form = ScheduleForm


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(beat.CrontabScheduleAdmin):  # type: ignore[misc]
    form = ScheduleForm

    @admin.display(description="in words")
    def human_readable(self, row: CrontabSchedule) -> str:
        """Return the schedule in words; Beat's own fails with a schedule that Celery does not know."""
        try:
            return str(row.human_readable)
        except Exception as error:  # noqa: BLE001 - the page is where the row is corrected
            return describe_error(error)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat.PeriodicTaskAdmin):  # type: ignore[misc]
    """Beat's own, without the script in its page, which the Content-Security-Policy blocks."""

    form = PeriodicTaskForm
    change_form_template = None
    list_display = (
        "name",
        "enabled",
        "problem",
        "scheduler",
        "start_time",
        "last_run_at",
        "one_off",
    )

    @admin.display(description="problem")
    def problem(self, row: PeriodicTask) -> str:
        """Return why Beat skips the row."""
        problem = row.enabled and find_problem(row)
        return f"cannot run: {problem}" if problem else ""

    @admin.display(description="crontab in words")
    def crontab_translation(self, row: PeriodicTask) -> str:
        return CrontabScheduleAdmin.human_readable(self, row.crontab) if row.crontab else "-"

    def changeform_view(self, *args: Any, **kwargs: Any) -> HttpResponse:
        """Leave out the list of all crontabs in words, which only Beat's own template needs."""
        return admin.ModelAdmin.changeform_view(self, *args, **kwargs)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Remove the actions that change or run an entry for view-only users; Beat's own does not ask."""
        actions: dict[str, Any] = super().get_actions(request)
        if self.has_change_permission(request):
            return actions
        return {name: action for name, action in actions.items() if name == "delete_selected"}

    @admin.action(description="Run selected tasks")
    def run_tasks(self, request: HttpRequest, chosen: QuerySet[PeriodicTask]) -> None:
        """Publish the selected tasks now, and report those that cannot be."""
        published = 0
        for row in chosen:
            if problem := find_problem(row) or publish(row):
                self.message_user(request, f"{row.name}: {problem}", messages.ERROR)
            else:
                published += 1
        self.message_user(request, f"{published} of {len(chosen)} published.")
