"""A payment is taken once: with a real worker, and a gateway on a port of this machine."""

import threading

import pytest
from django.db.models.functions import Now

from apps.orders.models import Order
from durable.mail.models import Email
from durable.tasks.models import TaskRun
from durable.tasks.tasks import requeue_stuck_runs
from durable.testing.workers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

LATE = {"pieces": 1, "price": "9.03"}  # the gateway takes the payment, then it is slow to say so


def is_confirmed(order):
    return Order.objects.get(pk=order.pk).state == "confirmed"


def payment(order):
    # By its order: the worker may still be at one of another test.
    return TaskRun.objects.get(name="orders.charge_payment_v2", args__0=str(order.pk))


def test_a_worker_killed_after_the_payment_was_taken_does_not_take_it_again(worker, gateway, place):
    taken, killed = threading.Event(), threading.Event()

    def hold():
        taken.set()
        killed.wait(20)

    gateway.be_late = hold
    order = place(**LATE)
    assert taken.wait(20)
    worker.kill()
    killed.set()
    # Nobody waits here for the end of the lease, as the next worker does.
    TaskRun.objects.filter(pk=payment(order).pk).update(lease_until=Now())
    worker.wait()

    wait_until(lambda: requeue_stuck_runs() or is_confirmed(order))
    wait_until(lambda: is_confirmed(order))

    assert gateway.asked == {str(order.pk): 2}
    assert gateway.charged == [str(order.pk)]
    assert payment(order).attempts == 2
    assert Email.objects.count() == 1


def test_a_gateway_that_answers_too_late_is_paid_once(worker, gateway, place):
    answer = threading.Event()
    gateway.be_late = answer.wait
    order = place(**LATE)

    wait_until(lambda: is_confirmed(order))

    answer.set()
    assert gateway.asked == {str(order.pk): 2}
    assert gateway.charged == [str(order.pk)]
    assert payment(order).options["retries"] == 1
