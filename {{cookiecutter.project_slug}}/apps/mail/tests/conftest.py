"""What the tests of mail share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import signals

from apps.mail.models import Email


@pytest.fixture
def make_email(db: None) -> Callable[..., Email]:
    """Save a row of a mail, queued unless told otherwise."""

    def make(**fields: Any) -> Email:
        return Email.objects.create(
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
