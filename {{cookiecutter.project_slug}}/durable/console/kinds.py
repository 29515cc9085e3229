"""The two kinds of work that the console lists."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import QueryDict

from durable.console.access import ProblemError, may
from durable.console.actions import EMAIL_ACTIONS, TASK_ACTIONS, Action
from durable.console.forms import EmailForm, TaskForm, WorkForm
from durable.console.states import email_state
from durable.mail.models import Email
from durable.tasks.models import TaskRun
from durable.tasks.results import state_of


@dataclass(frozen=True)
class Kind:
    """Tasks or emails.

    Args:
        name: of one: "task", as in the names of the URLs.
        model: its rows.
        form: its filters.
        actions: what people can do.
        state_of: returns the state of a row.
    """

    name: str
    model: Any
    form: type[WorkForm]
    actions: tuple[Action, ...]
    state_of: Callable[[Any], str]

    @property
    def plural(self) -> str:
        return f"{self.name}s"

    def get(self, pk: UUID) -> Any:
        """Return a row, or raise ProblemError."""
        row = self.model.objects.filter(pk=pk).first()
        if row is None:
            raise ProblemError(
                404,
                f"There is no such {self.name}",
                "It was deleted by another user, or its retention period ended.",
            )
        return row

    def action(self, name: str) -> Action:
        """Return an action by its name, or raise ProblemError."""
        for action in self.actions:
            if action.name == name:
                return action
        raise ProblemError(400, "There is no such action", f"{self.name}: {name[:50]!r}")

    def actions_for(self, user: Any, state: str = "") -> list[Action]:
        """Return what a user may do to rows of a state, or of any state."""
        return [
            action
            for action in self.actions
            if may(user, action.permission) and (not state or state in action.states)
        ]

    def filters(self, query: QueryDict) -> WorkForm:
        """Return the filters of a query, or raise ProblemError for one that makes no sense."""
        form = self.form(query)
        if not form.is_valid():
            detail = " ".join(
                f"{form.fields[name].label or name.capitalize() if name in form.fields else ''}: {errors[0]}"
                for name, errors in form.errors.items()
            )
            raise ProblemError(400, "Invalid filter", detail)
        return form


TASKS = Kind("task", TaskRun, TaskForm, TASK_ACTIONS, state_of)
EMAILS = Kind("email", Email, EmailForm, EMAIL_ACTIONS, email_state)
