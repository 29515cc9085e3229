"""A request has one id: that of a trusted proxy, or its own; each response names it."""

import uuid

import pytest
import structlog
from django.http import HttpResponse
from django.urls import path

from durable.correlation import correlation_id

pytestmark = pytest.mark.django_db


def respond(_request):
    return HttpResponse(correlation_id())


def fail(_request):
    raise ZeroDivisionError


urlpatterns = [path("respond", respond), path("fail", fail)]


@pytest.fixture(autouse=True)
def _own_urls(settings):
    settings.ROOT_URLCONF = __name__
    settings.TRUSTED_PROXIES = 1


@pytest.mark.parametrize(
    "given", ["a7", "2f1c9e0b-6c0e-4f6e-9d8b-b3d7c3f1a5e2", "Root=1-67891233-abc", "x" * 100]
)
def test_a_trusted_proxys_id_is_that_of_the_request_and_its_work(client, given):
    response = client.get("/respond", headers={"x-request-id": given})

    assert (response.text, response["X-Request-ID"]) == (given, given)


@pytest.mark.parametrize("given", ["", " ", "x" * 101, "a\nb", "a\x1b[31m", "a b", '"', "é", "a\n"])
def test_a_bad_id_is_replaced(client, given):
    response = client.get("/respond", headers={"x-request-id": given})

    assert uuid.UUID(response["X-Request-ID"])
    assert response.text == response["X-Request-ID"]


def test_without_a_proxy_the_clients_id_is_replaced(client, settings):
    settings.TRUSTED_PROXIES = 0

    response = client.get("/respond", headers={"x-request-id": "a7"})

    assert uuid.UUID(response["X-Request-ID"])


@pytest.mark.parametrize(
    ("url", "status"),
    [("/fail", 500), ("/nowhere", 404), ("/respond?%00", 400), ("/health/live", 200)],
)
def test_each_response_names_its_request(client, url, status):
    client.raise_request_exception = False

    response = client.get(url, headers={"x-request-id": "a7"})

    assert (response.status_code, response["X-Request-ID"]) == (status, "a7")


def test_two_requests_have_two_ids(client):
    ids = {client.get("/respond")["X-Request-ID"] for _ in range(2)}

    assert len(ids) == 2
    assert "request_id" not in structlog.contextvars.get_contextvars()
