"""What the home page promises while a part of the service is away."""

import pytest

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_page_answers_while_redis_is_away(admin_client, redis_server):
    redis_server.stop()

    assert "Something is missing" in admin_client.get("/").text
