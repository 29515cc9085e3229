"""The contact form without Redis."""

import time
from datetime import timedelta
from itertools import pairwise

import pytest

MESSAGE = {
    "name": "Ann",
    "email": "ann@example.com",
    "subject": "Opening hours",
    "message": "When are you open?",
}


@pytest.mark.django_db(transaction=True)
def test_a_redis_that_hangs_delays_one_of_many_messages(client, redis_server, settings):
    settings.BROKER_CIRCUIT_RESET = timedelta(minutes=1)
    redis_server.hang()
    times = [time.monotonic()]
    for _ in range(20):
        assert client.post("/contact/", MESSAGE).status_code == 302
        times.append(time.monotonic())

    slow = [later - earlier for earlier, later in pairwise(times) if later - earlier > 0.4]
    assert len(slow) <= 2
    assert sum(slow) < 5  # twenty time-outs take 10 s
