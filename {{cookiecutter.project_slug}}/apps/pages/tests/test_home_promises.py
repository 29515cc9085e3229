"""The home page while a server of the service is down."""

import pytest

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_page_responds_while_redis_is_down(admin_client, redis_server):
    redis_server.stop()

    assert "Some systems are down" in admin_client.get("/").text
