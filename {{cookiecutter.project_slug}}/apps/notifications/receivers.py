"""Notifications about problems of the service, for staff who can see the console."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.dispatch import receiver
from django.urls import reverse

from apps.notifications.services import notify
from apps.users.models import User
from durable.api import health_changed

TITLES = {"begun": "Problem: {}", "over": "Resolved: {}"}


@receiver(health_changed, dispatch_uid="notifications.report_problem")
def report_problem(problem: str, state: str, text: str, **_: Any) -> None:
    """Notify staff when a problem begins and when it is over; only emails report that it lasts."""
    if title := TITLES.get(state):
        readers = ModelBackend().with_perm("console.view_console", is_active=True)
        for user in User.objects.filter(pk__in=readers.values("pk"), is_staff=True):
            body = text if state == "begun" else ""
            notify(user, "health", title.format(problem), body, url=reverse("console:overview"))
