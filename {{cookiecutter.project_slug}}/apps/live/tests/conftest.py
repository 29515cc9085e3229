import pytest
from django.contrib.auth import get_user_model

from apps.live import places
from apps.live.pushing import sender


@pytest.fixture
def ann():
    return get_user_model().objects.create_user("ann@example.com", "a long password")


@pytest.fixture(autouse=True)
def _healthy():
    """What other tests did to Redis is over."""
    sender.circuit.close()
    places.circuit.close()
