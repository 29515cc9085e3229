"""Fixtures of the mail tests."""

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
    """Insert a mail, queued by default."""

    def make(**fields: Any) -> Email:
        # pytest imports this file before Django is ready.
        rows = apps.get_model("mail", "Email").objects
        return rows.create(
            **{"template": "test_email", "to": "ann@example.com", "context": {}, **fields}
        )

    return make


@pytest.fixture
def published() -> Iterator[list[tuple[str, tuple[Any, ...]]]]:
    """The name and arguments of each task that is published during the test."""
    seen: list[tuple[str, tuple[Any, ...]]] = []

    def record(sender: str, body: tuple[Any, ...], **_: Any) -> None:
        seen.append((sender, tuple(body[0])))

    signals.before_task_publish.connect(record)
    yield seen
    signals.before_task_publish.disconnect(record)
