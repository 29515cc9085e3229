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
from durable.api import Email, TaskRun
from durable.mail.rendering import render

pytestmark = pytest.mark.django_db


@pytest.fixture
def published():
    """The names of the tasks that the test publishes."""
    names = []

    def record(sender, **_):
        names.append(sender)

    before_task_publish.connect(record)
    yield names
    before_task_publish.disconnect(record)


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


def test_a_rollback_starts_no_chain(place, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks, transaction.atomic():
        place()
        transaction.set_rollback(True)

    assert callbacks == []
    assert not TaskRun.objects.exists()


def test_the_chain_is_published_after_the_commit(
    place, published, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks() as callbacks:
        place()
    assert published == []

    for callback in callbacks:
        callback()

    assert published == ["orders.validate_inventory"]


def test_placing_an_order_twice_with_one_id_places_one(customer, bread):
    order_id = uuid.uuid4()

    first, second = (place_order(customer, {bread.pk: 1}, order_id=order_id) for _ in range(2))

    assert first == second
    assert TaskRun.objects.count() == first.lines.count() == 1


def test_the_id_of_another_customers_order_is_an_error(place, bread, django_user_model):
    order = place()
    other = django_user_model.objects.create_user("bob@example.com")

    with pytest.raises(ValueError, match="order_id: it belongs to another customer"):
        place_order(other, {bread.pk: 1}, order_id=order.pk)


@pytest.mark.parametrize("quantities", [{}, {1: 0}, {1: -1}])
def test_an_empty_order_is_an_error(customer, quantities):
    with pytest.raises(ValueError, match="needs one or more pieces"):
        place_order(customer, quantities)


def test_an_unknown_product_is_an_error(customer, bread):
    with pytest.raises(ValueError, match=f"no product has the id {bread.pk + 1}"):
        place_order(customer, {bread.pk: 1, bread.pk + 1: 1})
    assert not Order.objects.exists()


def test_running_each_step_twice_has_the_effects_of_once(place, gateway):
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


def test_both_versions_of_the_payment_charge_an_order(place, gateway):
    old, new = place(1), place(1)

    for order, charge, args in ((old, charge_payment, ()), (new, charge_payment_v2, (CURRENCY,))):
        validate_inventory(str(order.pk))
        charge(str(order.pk), *args)

    assert set(Order.objects.values_list("state", flat=True)) == {"paid"}
    assert {payment["currency"] for payment, _ in gateway.responses.values()} == {CURRENCY}


def test_an_order_without_enough_stock_is_rejected_and_not_charged(place, gateway):
    order = place(6)

    run_steps(order)

    assert (order.state, order.reject_reason) == ("rejected", "out_of_stock")
    assert str(order.pk) not in gateway.requests
    assert stock() == 5
    notification = Notification.objects.get()
    assert (notification.title, notification.body) == (
        f"{order} is rejected",
        "Not enough pieces are in stock.",
    )


def test_all_products_of_an_order_are_reserved_or_none(customer, bread):
    cake = Product.objects.create(name="Cake", price=20, stock=1)
    order = place_order(customer, {bread.pk: 1, cake.pk: 2})

    validate_inventory(str(order.pk))

    order.refresh_from_db()
    cake.refresh_from_db()
    assert (order.state, stock(), cake.stock) == ("rejected", 5, 1)


def test_a_declined_payment_rejects_the_order_and_releases_its_stock_once(place, gateway):
    order = place(2, price="4.51")  # 9.02

    run_steps(order)
    fulfilment.decline(str(order.pk))

    order.refresh_from_db()
    assert (order.state, order.reject_reason) == ("rejected", "payment_declined")
    assert stock() == 5
    assert gateway.charged == []
    assert Email.objects.count() == Notification.objects.count() == 1


def test_the_slower_of_two_simultaneous_payments_changes_nothing(place, gateway, monkeypatch):
    order = place(state="reserved")
    charge = fulfilment.gateway.charge

    def be_overtaken(*payment):
        Order.objects.update(state="confirmed", payment_reference="first")
        return charge(*payment)

    monkeypatch.setattr(fulfilment.gateway, "charge", be_overtaken)
    charge_payment_v2(str(order.pk), CURRENCY)

    order.refresh_from_db()
    assert (order.state, order.payment_reference) == ("confirmed", "first")


@pytest.mark.parametrize("state", ["placed", "reserved", "rejected"])
def test_only_paid_orders_are_confirmed(place, state):
    order = place(state=state)

    send_confirmation(str(order.pk))

    order.refresh_from_db()
    assert order.state == state
    assert not Email.objects.exists()


def test_the_mail_of_a_confirmed_order_lists_its_products(place, settings):
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
        assert "not charged" not in part


def test_the_mail_of_a_rejected_order_gives_the_reason(place):
    order = place(6)

    validate_inventory(str(order.pk))

    text = render(Email.objects.get()).text
    assert "you are not charged. Not enough pieces are in stock." in text
    assert "delivered soon" not in text


@pytest.mark.parametrize("values", [{"stock": -1}, {"price": 0}])
def test_the_database_rejects_invalid_values(bread, values):
    with pytest.raises(IntegrityError):
        Product.objects.filter(pk=bread.pk).update(**values)


@pytest.mark.django_db(transaction=True)
def test_simultaneous_orders_do_not_share_stock(customer, bread):
    cake = Product.objects.create(name="Cake", price=20, stock=100)
    both = ((bread.pk, cake.pk), (cake.pk, bread.pk)) * 4
    orders = [place_order(customer, dict.fromkeys(products, 1)) for products in both]
    start = threading.Barrier(len(orders))

    def reserve(order):
        start.wait(10)
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
