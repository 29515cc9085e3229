"""Orders are charged once, with a real worker and the fake gateway."""

import threading

import pytest
from django.db.models.functions import Now

from apps.orders.models import Order
from durable.api import Email, TaskRun
from durable.tasks.tasks import requeue_stuck_runs
from durable.testing.workers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

DELAYED = {"quantity": 1, "price": "9.03"}  # the gateway takes the payment and responds late


def is_confirmed(order):
    return Order.objects.get(pk=order.pk).state == "confirmed"


def payment(order):
    # By its order: the worker may still run a task of another test.
    return TaskRun.objects.get(name="orders.charge_payment_v2", args__0=str(order.pk))


def test_an_order_is_charged_once_if_its_worker_is_killed_after_the_payment(worker, gateway, place):
    taken, killed = threading.Event(), threading.Event()

    def hold():
        taken.set()
        killed.wait(20)

    gateway.delay_response = hold
    order = place(**DELAYED)
    assert taken.wait(20)
    worker.kill()
    killed.set()
    # The next worker would wait for the end of the lease.
    TaskRun.objects.filter(pk=payment(order).pk).update(lease_until=Now())
    worker.wait()

    wait_until(lambda: requeue_stuck_runs() or is_confirmed(order))
    wait_until(lambda: is_confirmed(order))

    assert gateway.requests[str(order.pk)] == 2
    assert gateway.charged == [str(order.pk)]
    assert payment(order).attempts == 2
    assert Email.objects.count() == 1


def test_an_order_is_charged_once_if_the_gateway_responds_late(worker, gateway, place):
    respond = threading.Event()
    gateway.delay_response = respond.wait
    order = place(**DELAYED)

    wait_until(lambda: is_confirmed(order))

    respond.set()
    assert gateway.requests[str(order.pk)] == 2
    assert gateway.charged == [str(order.pk)]
    assert payment(order).options["retries"] == 1
