import json
import socket
import threading
from decimal import Decimal

import pytest
import requests
from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from apps.orders import fulfilment
from apps.orders import gateway as client
from apps.orders.gateway import GatewayUnavailableError, PaymentDeclinedError
from apps.orders.management.commands import fake_gateway
from apps.orders.tasks import charge_payment, charge_payment_v2
from config.queues import route_of
from config.settings import base

VERSIONS = [(charge_payment, ()), (charge_payment_v2, ("EUR",))]


def charge(amount="9.00", key="one", currency="EUR"):
    return client.charge(key, Decimal(amount), currency)


@pytest.fixture
def response(httpserver, settings):
    """A gateway with a configurable response."""
    settings.PAYMENT_GATEWAY_URL = httpserver.url_for("")
    return httpserver.expect_request("/charges", method="POST")


def test_a_payment_is_sent_with_its_key(httpserver, response):
    response.respond_with_json({"id": "payment-1"}, status=201)

    assert charge("9.50") == "payment-1"

    ((request, _),) = httpserver.log
    assert request.headers["Idempotency-Key"] == "one"
    assert json.loads(request.data) == {"amount": "9.50", "currency": "EUR"}


@pytest.mark.parametrize("status", [400, 402, 404, 410, 422, 451])
def test_client_errors_decline_the_payment(response, status):
    response.respond_with_data("declined", status=status)

    with pytest.raises(PaymentDeclinedError, match=f"{status} declined"):
        charge()


@pytest.mark.parametrize("status", [302, 401, 403, 408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_other_statuses_are_retried(response, status):
    response.respond_with_data("later", status=status)

    with pytest.raises(GatewayUnavailableError, match=f"{status} later"):
        charge()


def test_redirects_are_not_followed(httpserver, response):
    response.respond_with_data(status=302, headers={"Location": httpserver.url_for("/login")})
    httpserver.expect_request("/login").respond_with_json({"id": "not a payment"})

    with pytest.raises(GatewayUnavailableError, match="302"):
        charge()


@pytest.mark.parametrize("content", ["<html>", "[]", '{"name": "payment-1"}', "null", ""])
def test_a_response_without_a_payment_is_retried(response, content):
    response.respond_with_data(content, status=201)

    with pytest.raises(GatewayUnavailableError, match="without a payment id"):
        charge()


def test_an_unreachable_gateway_is_a_connection_error(settings):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.PAYMENT_GATEWAY_URL = f"http://127.0.0.1:{closed.getsockname()[1]}"

        with pytest.raises(requests.ConnectionError):
            charge()


def test_a_response_that_is_cut_off_is_retried(settings):
    def cut_off(server):
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{")

    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.PAYMENT_GATEWAY_URL = f"http://127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=cut_off, args=(server,)).start()

        with pytest.raises(GatewayUnavailableError):
            charge()


def test_a_retry_after_a_late_response_charges_once(gateway, settings):
    settings.PAYMENT_GATEWAY_TIMEOUT = (1, 0.1)
    respond = threading.Event()
    gateway.delay_response = respond.wait

    with pytest.raises(requests.Timeout):
        charge("9.03")
    settings.PAYMENT_GATEWAY_TIMEOUT = (1, 5)

    assert charge("9.03").startswith("payment-")
    assert gateway.charged == ["one"]
    respond.set()


def test_without_a_gateway_the_error_explains_what_to_do(settings):
    settings.PAYMENT_GATEWAY_URL = ""

    with pytest.raises(ImproperlyConfigured, match="PAYMENT_GATEWAY_URL is not set"):
        charge()


def test_the_gateways_time_out_is_shorter_than_the_tasks_time_limit():
    for task, _ in VERSIONS:
        assert sum(base.PAYMENT_GATEWAY_TIMEOUT) < route_of(task.name).soft_limit / 2
    assert sum(base.PAYMENT_GATEWAY_TIMEOUT) < fake_gateway.RESPONSE_DELAY


@pytest.mark.django_db
@pytest.mark.parametrize(("task", "more_args"), VERSIONS, ids=["v1", "v2"])
def test_an_unavailable_gateway_is_retried(place, gateway, task, more_args):
    order = place(1, price="9.01", state="reserved")

    task.apply((str(order.pk), *more_args))

    order.refresh_from_db()
    assert order.state == "paid"
    assert gateway.requests[str(order.pk)] == 2


@pytest.mark.django_db
@pytest.mark.parametrize(("task", "more_args"), VERSIONS, ids=["v1", "v2"])
def test_a_response_that_reaches_the_soft_time_limit_is_retried(
    place, gateway, monkeypatch, task, more_args
):
    order = place(state="reserved")
    charge_order, errors = fulfilment.charge, [SoftTimeLimitExceeded()]

    def reach_limit_once(*payment):
        if errors:
            raise errors.pop()
        charge_order(*payment)

    monkeypatch.setattr(fulfilment, "charge", reach_limit_once)
    task.apply((str(order.pk), *more_args))

    order.refresh_from_db()
    assert order.state == "paid"


@pytest.mark.django_db
def test_an_order_stays_reserved_if_the_gateway_stays_unavailable(place, response):
    response.respond_with_data("later", status=503)
    order = place(state="reserved")

    result = charge_payment_v2.apply((str(order.pk), "EUR"), retries=charge_payment_v2.max_retries)

    order.refresh_from_db()
    assert isinstance(result.result, GatewayUnavailableError)
    assert order.state == "reserved"


@pytest.mark.django_db
def test_a_declined_payment_is_not_retried(place, gateway):
    order = place(1, price="9.02", state="reserved")

    charge_payment_v2.apply((str(order.pk), "EUR"))

    assert gateway.requests[str(order.pk)] == 1


def test_the_fake_gateway_charges_once_for_each_key(gateway):
    assert charge(key="one") == charge(key="one") != charge(key="two")
    with pytest.raises(PaymentDeclinedError, match="the key belongs to another payment"):
        charge("7.00", key="one")
    assert gateway.charged == ["one", "two"]


def test_the_fake_gateway_waits_for_its_port(gateway, capsys, monkeypatch):
    monkeypatch.setattr(
        fake_gateway.time, "sleep", lambda _: (gateway.shutdown(), gateway.server_close())
    )
    monkeypatch.setattr(fake_gateway.FakeGateway, "serve_forever", interrupt)

    call_command("fake_gateway")

    output = capsys.readouterr().out
    assert f"Port {gateway.server_port} is in use" in output
    assert "the payment is declined" in output


def test_the_fake_gateway_does_nothing_for_a_real_one(capsys, settings, monkeypatch):
    settings.PAYMENT_GATEWAY_URL = "https://payments.example.com"
    monkeypatch.setattr(fake_gateway.threading.Event, "wait", interrupt)

    call_command("fake_gateway")

    assert "https://payments.example.com is not on this machine" in capsys.readouterr().out


def interrupt(*_):
    raise KeyboardInterrupt
