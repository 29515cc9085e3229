"""What the tests of mail share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery import signals
from django.apps import apps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from durable.mail.models import Email


@pytest.fixture
def make_email(db: None) -> Callable[..., Email]:
    """Save a row of a mail, queued unless told otherwise."""

    def make(**fields: Any) -> Email:
        # pytest imports this file before Django is set up.
        rows = apps.get_model("mail", "Email").objects
        return rows.create(
            **{"template": "test_email", "to": "ann@example.com", "context": {}, **fields}
        )

    return make


@pytest.fixture
def published() -> Iterator[list[tuple[str, tuple[Any, ...]]]]:
    """The name and arguments of each task that is published during the test."""
    seen: list[tuple[str, tuple[Any, ...]]] = []

    def note(sender: str, body: tuple[Any, ...], **_: Any) -> None:
        seen.append((sender, tuple(body[0])))

    signals.before_task_publish.connect(note)
    yield seen
    signals.before_task_publish.disconnect(note)
