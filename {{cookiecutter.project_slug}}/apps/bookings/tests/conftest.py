"""Fixtures of the tests of bookings."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.core.cache import cache
from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.bookings.models import Slot
    from apps.users.models import User


@pytest.fixture(autouse=True)
def _no_requests_yet() -> None:
    """Let the limits per hour begin with each test."""
    cache.clear()


@pytest.fixture(autouse=True)
def _no_messages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish nothing: a worker would still write rows while they are deleted after the test."""
    if "worker" not in request.fixturenames:
        monkeypatch.setattr("durable.tasks.base.Task.publish_or_log", lambda *_, **__: True)


@pytest.fixture
def ann(db: None, django_user_model: type[User]) -> User:
    """A customer."""
    return django_user_model.objects.create_user("ann@example.com")


@pytest.fixture
def bob(db: None, django_user_model: type[User]) -> User:
    """Another customer."""
    return django_user_model.objects.create_user("bob@example.com")


@pytest.fixture
def owner(db: None, django_user_model: type[User]) -> User:
    """The owner of the calendar."""
    return django_user_model.objects.create_user("owner@example.com")


@pytest.fixture
def make_slot(owner: User) -> Callable[..., Slot]:
    """Create slots of half an hour in the owner's calendar."""

    def make_slot(starts_in: Any = timedelta(days=1), calendar: str = "Studio & yard") -> Slot:
        # pytest imports this file before Django is set up.
        model = apps.get_model("bookings", "Calendar")
        row, _ = model.objects.get_or_create(name=calendar, defaults={"owner": owner})
        start = timezone.now().replace(second=0, microsecond=0) + starts_in
        slot: Slot = row.slots.create(starts_at=start, ends_at=start + timedelta(minutes=30))
        return slot

    return make_slot


@pytest.fixture
def slot(make_slot: Callable[..., Slot]) -> Slot:
    """A slot that starts tomorrow."""
    return make_slot()
