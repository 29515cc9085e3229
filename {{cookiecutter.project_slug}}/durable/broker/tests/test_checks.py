import pytest
from celery import current_app
from django.core.checks import run_checks


@pytest.fixture
def errors(monkeypatch):
    """A function that returns the errors of the checks for a broker's URL."""

    def errors(url):
        monkeypatch.setattr(current_app.conf, "broker_write_url", url)
        found = run_checks(tags=["celery"])
        return [error.msg for error in found if error.id == "broker.E001"]

    return errors


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis.example.com",
        "redis://:secret@redis.example.com:6379/15",
        "rediss://redis.example.com/0?ssl_cert_reqs=required",
        "redis+socket:///run/redis.sock?virtual_host=2",
        "sentinel://one.example.com/0;sentinel://two.example.com/0",
    ],
)
def test_a_url_of_redis_passes(errors, url):
    assert errors(url) == []


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("amqp://:secret@rabbit.example.com", "amqp is not supported as a broker"),
        ("sqs://secret@", "sqs is not supported"),
        ("memory://", "memory is not supported"),
        ("redis.example.com:6379", "amqp is not supported"),
        ("unix:///run/redis.sock", "kombu cannot read it"),
        ("redis://:secret@redis.example.com?db=2", "kombu cannot read it"),
        ("redis://:secret/x@redis.example.com", "kombu cannot read it"),
        ("rediss://:secret@redis.example.com?ssl_cert_reqs=maybe", "kombu cannot read it"),
        ("redis://:secret@redis.example.com/cache", "its database is not a number"),
    ],
)
def test_another_url_is_an_error_that_hides_the_password(errors, url, fault):
    (error,) = errors(url)

    assert error.startswith("CELERY_BROKER_URL: ")
    assert fault in error
    assert "secret" not in error
