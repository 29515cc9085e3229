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
from apps.orders.gateway import GatewayUnavailableError, PaymentRefusedError
from apps.orders.management.commands import fake_gateway
from apps.orders.tasks import charge_payment, charge_payment_v2
from config.queues import route_of
from config.settings import base

VERSIONS = [(charge_payment, ()), (charge_payment_v2, ("EUR",))]


def charge(amount="9.00", key="one", currency="EUR"):
    return client.charge(key, Decimal(amount), currency)


@pytest.fixture
def answering(httpserver, settings):
    """A gateway that answers as told."""
    settings.PAYMENT_GATEWAY_URL = httpserver.url_for("")
    return httpserver.expect_request("/charges", method="POST")


def test_a_payment_is_asked_for_with_its_key(httpserver, answering):
    answering.respond_with_json({"id": "payment-1"}, status=201)

    assert charge("9.50") == "payment-1"

    ((request, _),) = httpserver.log
    assert request.headers["Idempotency-Key"] == "one"
    assert json.loads(request.data) == {"amount": "9.50", "currency": "EUR"}


@pytest.mark.parametrize("status", [400, 402, 404, 410, 422, 451])
def test_a_refusal_is_for_good(answering, status):
    answering.respond_with_data("declined", status=status)

    with pytest.raises(PaymentRefusedError, match=f"{status} declined"):
        charge()


@pytest.mark.parametrize("status", [302, 401, 403, 408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_what_says_nothing_about_the_payment_is_asked_again(answering, status):
    answering.respond_with_data("later", status=status)

    with pytest.raises(GatewayUnavailableError, match=f"{status} later"):
        charge()


def test_what_a_redirect_leads_to_is_no_answer(httpserver, answering):
    answering.respond_with_data(status=302, headers={"Location": httpserver.url_for("/login")})
    httpserver.expect_request("/login").respond_with_json({"id": "not a payment"})

    with pytest.raises(GatewayUnavailableError, match="302"):
        charge()


@pytest.mark.parametrize("content", ["<html>", "[]", '{"name": "payment-1"}', "null", ""])
def test_an_answer_that_names_no_payment_is_asked_again(answering, content):
    answering.respond_with_data(content, status=201)

    with pytest.raises(GatewayUnavailableError, match="without a payment's id"):
        charge()


def test_nobody_listens(settings):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.PAYMENT_GATEWAY_URL = f"http://127.0.0.1:{closed.getsockname()[1]}"

        with pytest.raises(requests.ConnectionError):
            charge()


def test_an_answer_that_is_cut_off_is_asked_again(settings):
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


def test_an_answer_that_comes_too_late_costs_nothing_when_asked_again(gateway, settings):
    settings.PAYMENT_GATEWAY_TIMEOUT = (1, 0.1)
    answer = threading.Event()
    gateway.be_late = answer.wait

    with pytest.raises(requests.Timeout):
        charge("9.03")
    settings.PAYMENT_GATEWAY_TIMEOUT = (1, 5)

    assert charge("9.03").startswith("payment-")
    assert gateway.charged == ["one"]
    answer.set()


def test_without_a_gateway_the_error_says_what_to_do(settings):
    settings.PAYMENT_GATEWAY_URL = ""

    with pytest.raises(ImproperlyConfigured, match="PAYMENT_GATEWAY_URL is not set"):
        charge()


def test_the_gateway_is_waited_for_less_long_than_the_task_may_take():
    for task, _ in VERSIONS:
        assert sum(base.PAYMENT_GATEWAY_TIMEOUT) < route_of(task.name).soft_limit / 2
    assert sum(base.PAYMENT_GATEWAY_TIMEOUT) < fake_gateway.LATE


@pytest.mark.django_db
@pytest.mark.parametrize(("task", "more"), VERSIONS, ids=["v1", "v2"])
def test_a_gateway_that_is_out_of_order_is_asked_again(place, gateway, task, more):
    order = place(1, price="9.01", state="reserved")

    task.apply((str(order.pk), *more))

    order.refresh_from_db()
    assert order.state == "paid"
    assert gateway.asked == {str(order.pk): 2}


@pytest.mark.django_db
@pytest.mark.parametrize(("task", "more"), VERSIONS, ids=["v1", "v2"])
def test_an_answer_that_trickles_in_is_asked_for_again(place, gateway, monkeypatch, task, more):
    order = place(state="reserved")
    charge_really, errors = fulfilment.charge, [SoftTimeLimitExceeded()]

    def trickle(*payment):
        if errors:
            raise errors.pop()
        charge_really(*payment)

    monkeypatch.setattr(fulfilment, "charge", trickle)
    task.apply((str(order.pk), *more))

    order.refresh_from_db()
    assert order.state == "paid"


@pytest.mark.django_db
def test_a_gateway_that_stays_away_leaves_the_order_to_be_run_again(place, answering):
    answering.respond_with_data("later", status=503)
    order = place(state="reserved")

    result = charge_payment_v2.apply((str(order.pk), "EUR"), retries=charge_payment_v2.max_retries)

    order.refresh_from_db()
    assert isinstance(result.result, GatewayUnavailableError)
    assert order.state == "reserved"


@pytest.mark.django_db
def test_a_refused_payment_is_not_asked_for_again(place, gateway):
    order = place(1, price="9.02", state="reserved")

    charge_payment_v2.apply((str(order.pk), "EUR"))

    assert gateway.asked == {str(order.pk): 1}


def test_the_fake_gateway_knows_its_keys(gateway):
    assert charge(key="one") == charge(key="one") != charge(key="two")
    with pytest.raises(PaymentRefusedError, match="the key belongs to another payment"):
        charge("7.00", key="one")
    assert gateway.charged == ["one", "two"]


def test_the_fake_gateway_waits_for_its_port(gateway, capsys, monkeypatch):
    monkeypatch.setattr(
        fake_gateway.time, "sleep", lambda _: (gateway.shutdown(), gateway.server_close())
    )
    monkeypatch.setattr(fake_gateway.FakeGateway, "serve_forever", interrupt)

    call_command("fake_gateway")

    told = capsys.readouterr().out
    assert f"Port {gateway.server_port}: another program has it" in told
    assert "it refuses the payment" in told


def test_the_fake_gateway_leaves_a_real_one_alone(capsys, settings, monkeypatch):
    settings.PAYMENT_GATEWAY_URL = "https://payments.example.com"
    monkeypatch.setattr(fake_gateway.threading.Event, "wait", interrupt)

    call_command("fake_gateway")

    assert "https://payments.example.com: nothing to do here" in capsys.readouterr().out


def interrupt(*_):
    raise KeyboardInterrupt
