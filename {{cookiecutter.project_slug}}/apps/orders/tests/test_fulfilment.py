import threading
import uuid

import pytest
from celery.signals import before_task_publish
from django.db import IntegrityError, connection, transaction

from apps.notifications.models import Notification
from apps.orders import fulfilment
from apps.orders.models import CURRENCY, Order, Product
from apps.orders.services import place_order
from apps.orders.tasks import (
    charge_payment,
    charge_payment_v2,
    send_confirmation,
    validate_inventory,
)
from durable.mail.models import Email
from durable.mail.rendering import render
from durable.tasks.models import TaskRun

pytestmark = pytest.mark.django_db


@pytest.fixture
def published():
    """The names of the tasks that are published during the test."""
    names = []

    def note(sender, **_):
        names.append(sender)

    before_task_publish.connect(note)
    yield names
    before_task_publish.disconnect(note)


def run_steps(order):
    validate_inventory(str(order.pk))
    charge_payment_v2(str(order.pk), CURRENCY)
    send_confirmation(str(order.pk))
    order.refresh_from_db()


def stock():
    return Product.objects.get(name="Bread").stock


def test_an_order_and_its_chain_are_saved_together(place):
    order = place(2)

    run = TaskRun.objects.get()
    assert (run.name, run.args) == ("orders.validate_inventory", [str(order.pk)])
    assert {(link["task"], tuple(link["args"])) for link in run.options["chain"]} == {
        ("orders.charge_payment_v2", (str(order.pk), CURRENCY)),
        ("orders.send_confirmation", (str(order.pk),)),
    }
    assert (str(order.total), order.state) == ("9.00", "placed")


def test_a_rolled_back_order_starts_nothing(place, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as rings, transaction.atomic():
        place()
        transaction.set_rollback(True)

    assert rings == []
    assert not TaskRun.objects.exists()


def test_the_broker_hears_of_an_order_after_the_commit(
    place, published, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks() as rings:
        place()
    assert published == []

    for ring in rings:
        ring()

    assert published == ["orders.validate_inventory"]


def test_an_order_that_is_placed_twice_under_one_id_is_one(customer, bread):
    order_id = uuid.uuid4()

    first, second = (place_order(customer, {bread.pk: 1}, order_id=order_id) for _ in range(2))

    assert first == second
    assert TaskRun.objects.count() == first.lines.count() == 1


def test_nobody_gets_at_the_order_of_somebody_else(place, bread, django_user_model):
    order = place()
    other = django_user_model.objects.create_user("bob@example.com")

    with pytest.raises(ValueError, match="order_id: an order of somebody else"):
        place_order(other, {bread.pk: 1}, order_id=order.pk)


@pytest.mark.parametrize("quantities", [{}, {1: 0}, {1: -1}])
def test_an_order_of_nothing_is_refused(customer, quantities):
    with pytest.raises(ValueError, match="needs one piece or more"):
        place_order(customer, quantities)


def test_an_order_of_what_is_not_there_is_refused(customer, bread):
    with pytest.raises(ValueError, match=f"no product has the id {bread.pk + 1}"):
        place_order(customer, {bread.pk: 1, bread.pk + 1: 1})
    assert not Order.objects.exists()


def test_each_step_twice_is_once(place, gateway):
    order = place(2)

    for step in (validate_inventory, charge_payment, send_confirmation):
        step(str(order.pk))
        step(str(order.pk))

    order.refresh_from_db()
    assert (order.state, stock()) == ("confirmed", 3)
    assert gateway.charged == [str(order.pk)]
    assert order.payment_reference.startswith("payment-")
    assert Email.objects.get().key == f"order-{order.pk}"
    assert Notification.objects.get().title == f"{order} is confirmed"


def test_a_chain_of_the_old_code_ends_like_one_of_the_new(place, gateway):
    old, new = place(1), place(1)

    for order, charge, args in ((old, charge_payment, ()), (new, charge_payment_v2, (CURRENCY,))):
        validate_inventory(str(order.pk))
        charge(str(order.pk), *args)

    assert set(Order.objects.values_list("state", flat=True)) == {"paid"}
    assert {payment["currency"] for payment, _ in gateway.answers.values()} == {CURRENCY}


def test_the_goods_are_gone_and_the_chain_ends_without_a_payment(place, gateway):
    order = place(6)

    run_steps(order)

    assert (order.state, order.reject_reason) == ("rejected", "out_of_stock")
    assert gateway.asked == {}
    assert stock() == 5
    (told,) = Notification.objects.all()
    assert (told.title, told.body) == (
        f"{order} is rejected",
        "There is not enough left of what was ordered.",
    )


def test_all_goods_of_an_order_are_set_aside_or_none(customer, bread):
    cake = Product.objects.create(name="Cake", price=20, stock=1)
    order = place_order(customer, {bread.pk: 1, cake.pk: 2})

    validate_inventory(str(order.pk))

    order.refresh_from_db()
    cake.refresh_from_db()
    assert (order.state, stock(), cake.stock) == ("rejected", 5, 1)


def test_a_refused_payment_rejects_the_order_and_puts_its_goods_back_once(place, gateway):
    order = place(2, price="4.51")  # 9.02

    run_steps(order)
    fulfilment.refuse_payment(str(order.pk))

    order.refresh_from_db()
    assert (order.state, order.reject_reason) == ("rejected", "payment_refused")
    assert stock() == 5
    assert gateway.charged == []
    assert Email.objects.count() == Notification.objects.count() == 1


def test_a_payment_that_comes_late_to_an_end_changes_nothing_any_more(place, gateway, monkeypatch):
    order = place(state="reserved")
    charge = fulfilment.gateway.charge

    def overtaken(*payment):
        Order.objects.update(state="confirmed", payment_reference="first")
        return charge(*payment)

    monkeypatch.setattr(fulfilment.gateway, "charge", overtaken)
    charge_payment_v2(str(order.pk), CURRENCY)

    order.refresh_from_db()
    assert (order.state, order.payment_reference) == ("confirmed", "first")


@pytest.mark.parametrize("state", ["placed", "reserved", "rejected"])
def test_nothing_is_confirmed_before_it_is_paid(place, state):
    order = place(state=state)

    send_confirmation(str(order.pk))

    order.refresh_from_db()
    assert order.state == state
    assert not Email.objects.exists()


def test_the_mail_says_what_becomes_of_the_order(place, settings):
    order = place(2, state="paid")
    bread = Product.objects.get()
    Product.objects.filter(pk=bread.pk).update(name="Bread & <butter>")

    send_confirmation(str(order.pk))

    content = render(Email.objects.get())
    assert content.subject == f"{order} is confirmed"
    assert "2 × Bread & <butter>\n" in content.text
    assert "2 × Bread &amp; &lt;butter&gt;" in content.html
    for part in (content.text, content.html):
        assert "Total: 9.00 EUR" in part
        assert f"{settings.FRONTEND_URL}/orders/{order.pk}/" in part
        assert "you pay nothing" not in part


def test_the_mail_of_a_rejected_order_says_why(place):
    order = place(6)

    validate_inventory(str(order.pk))

    text = render(Email.objects.get()).text
    assert "you pay nothing for it. There is not enough left" in text
    assert "on its way" not in text


@pytest.mark.parametrize("values", [{"stock": -1}, {"price": 0}])
def test_the_database_refuses_what_cannot_be(bread, values):
    with pytest.raises(IntegrityError):
        Product.objects.filter(pk=bread.pk).update(**values)


@pytest.mark.django_db(transaction=True)
def test_orders_that_come_at_once_are_not_sold_the_same_goods(customer, bread):
    cake = Product.objects.create(name="Cake", price=20, stock=100)
    both = ((bread.pk, cake.pk), (cake.pk, bread.pk)) * 4
    orders = [place_order(customer, dict.fromkeys(goods, 1)) for goods in both]
    begin = threading.Barrier(len(orders))

    def reserve(order):
        begin.wait(10)
        fulfilment.reserve(str(order.pk))
        connection.close()

    threads = [threading.Thread(target=reserve, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Order.objects.filter(state="reserved").count() == 5
    assert Order.objects.filter(state="rejected").count() == 3
    assert (stock(), Product.objects.get(name="Cake").stock) == (0, 95)
