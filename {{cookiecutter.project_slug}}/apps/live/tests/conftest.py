"""Fixtures of the tests of live updates."""

import pytest


@pytest.fixture
def ann(django_user_model):
    return django_user_model.objects.create_user("ann@example.com", "a long password")


@pytest.fixture(autouse=True)
def _closed_circuits():
    """Forget outages of Redis in other tests."""
    from apps.live import connection_limit  # noqa: PLC0415 - needs Django's settings
    from apps.live.sender import sender  # noqa: PLC0415 - the same

    sender.circuit.close()
    connection_limit.circuit.close()
