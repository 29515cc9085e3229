"""Fixtures of the tests of live updates."""

import pytest


@pytest.fixture
def ann(django_user_model):
    return django_user_model.objects.create_user("ann@example.com", "a long password")
