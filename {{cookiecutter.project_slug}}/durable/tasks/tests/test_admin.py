"""What staff may do with the periodic tasks."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

pytestmark = pytest.mark.django_db
URL = "admin:django_celery_beat_periodictask_changelist"


@pytest.fixture
def entry():
    every_hour = IntervalSchedule.objects.create(every=1, period="hours")
    return PeriodicTask.objects.create(name="sweep", task="tasks.heartbeat", interval=every_hour)


@pytest.mark.parametrize(("may", "enabled"), [("view", True), ("change", False)])
def test_a_view_only_user_disables_nothing(client, django_user_model, entry, may, enabled):
    user = django_user_model.objects.create_user("ann@example.com", is_staff=True)
    names = {"view_periodictask", f"{may}_periodictask"}
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)

    client.post(reverse(URL), {"action": "disable_tasks", "_selected_action": [entry.pk]})

    entry.refresh_from_db()
    assert entry.enabled is enabled
