"""The filters of the lists."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.timezone import get_current_timezone

from durable.console.states import EMAIL_STATES, TASK_STATES, State, search
from durable.mail.models import Email
from durable.tasks.models import TaskRun


class TimeInput(forms.DateTimeInput):
    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class TimeField(forms.DateTimeField):
    """A local time. Django's field refuses the hour that clocks repeat or leave out, and times that overflow in UTC."""

    widget = TimeInput

    def to_python(self, value: Any) -> datetime | None:
        """Return the time in UTC; of two with the same name, the first."""
        if value in self.empty_values:
            return None
        try:
            at = datetime.fromisoformat(value.strip())
            return (at if at.tzinfo else at.replace(tzinfo=get_current_timezone())).astimezone(UTC)
        except (OverflowError, ValueError):
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


def text(label: str, length: int) -> forms.CharField:
    """Return a field for a text."""
    return forms.CharField(label=label, max_length=length, required=False)


class WorkForm(forms.Form):
    """The filters that tasks and emails have in common."""

    states: ClassVar[Mapping[str, State]]
    exact: ClassVar[dict[str, str]]  # a field of the form: the lookup that it is compared by

    state = forms.ChoiceField(required=False)
    since = TimeField(required=False)
    until = TimeField(required=False)
    correlation_id = text("Correlation id", 100)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        state: Any = self.fields["state"]
        state.choices = [(name, name.capitalize() or "All") for name in self.states]

    def clean(self) -> dict[str, Any]:
        """Refuse a time span that ends before it begins."""
        data: dict[str, Any] = super().clean() or {}
        since, until = data.get("since"), data.get("until")
        if since and until and since > until:
            self.add_error("until", "Choose a time after “Since”.")
        return data

    @property
    def chosen(self) -> State:
        """The state that is asked for."""
        state = self.cleaned_data["state"]
        if self.cleaned_data["correlation_id"]:  # its index finds the rows, whatever their state
            found = self.states[state]
            return State(Q(), "-queued_at", found.time, found.found & found.rest)
        return self.states[state]

    def matching(self, rows: QuerySet[Any]) -> tuple[QuerySet[Any], bool]:
        """Return the rows that match; see `search`."""
        data, state = self.cleaned_data, self.chosen
        times = Q()
        if data["since"]:
            times &= Q(**{f"{state.time}__gte": data["since"]})
        if data["until"]:
            times &= Q(**{f"{state.time}__lte": data["until"]})
        compared = Q(**{lookup: data[name] for name, lookup in self.exact.items() if data[name]})
        if data["correlation_id"]:
            return search(rows, state, Q(correlation_id=data["correlation_id"]), times & compared)
        if state.time == state.order.removeprefix("-"):
            return search(rows, state, times, compared)
        return search(rows, state, Q(), times & compared)


class TaskForm(WorkForm):
    """Filters of tasks."""

    states = TASK_STATES
    exact = {"name": "name", "queue": "queue", "error": "error_type"}

    name = text("Task", 255)
    queue = text("Queue", 100)
    error = text("Error type", 255)
    field_order = ("state", "name", "queue", "error", "since", "until", "correlation_id")

    @staticmethod
    def rows() -> QuerySet[TaskRun]:
        """Return all rows, without what a list does not show."""
        return TaskRun.objects.defer("args", "kwargs", "options", "traceback")


class EmailForm(WorkForm):
    """Filters of emails."""

    states = EMAIL_STATES
    exact = {
        "name": "template",
        "recipient": "to__icontains",
        "provider": "provider",
        "error": "last_error__icontains",
    }

    name = text("Template", 100)
    recipient = text("Recipient", 320)
    provider = text("Provider", 50)
    error = text("Error", 200)
    field_order = (
        "state",
        "name",
        "recipient",
        "provider",
        "error",
        "since",
        "until",
        "correlation_id",
    )

    @staticmethod
    def rows() -> QuerySet[Email]:
        """Return all rows, without what a list does not show."""
        return Email.objects.defer("context", "headers", "reply_to")
