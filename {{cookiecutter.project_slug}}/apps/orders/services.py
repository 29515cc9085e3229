"""Functions for the pages."""

import uuid
from collections.abc import Mapping

from celery import chain
from django.db import IntegrityError, transaction

from apps.orders.models import CURRENCY, Order, OrderLine, Product
from apps.orders.tasks import charge_payment_v2, send_confirmation, validate_inventory
from apps.users.models import User


def place_order(
    customer: User, quantities: Mapping[int, int], *, order_id: uuid.UUID | None = None
) -> Order:
    """Save an order and start its chain of tasks, both in the current transaction.

    Args:
        customer: the user who orders and pays.
        quantities: pieces of each product, by its primary key.
        order_id: your own id for the order. A second call with the same id returns the same order,
            so that a form that is submitted twice is charged once.

    Raises:
        ValueError: nothing is ordered, a product does not exist, or `order_id` belongs to another
            customer.
    """
    if not quantities or min(quantities.values()) < 1:
        raise ValueError("quantities: an order needs one or more pieces of each product")
    prices = dict(Product.objects.filter(pk__in=quantities).values_list("pk", "price"))
    if missing := set(quantities) - set(prices):
        raise ValueError(f"quantities: no product has the id {min(missing)}")
    total = sum(price * quantities[pk] for pk, price in prices.items())
    with transaction.atomic():
        order, created = get_or_create_order(customer, order_id or uuid.uuid4(), total=total)
        if created:
            OrderLine.objects.bulk_create(
                OrderLine(order=order, product_id=pk, quantity=quantities[pk], price=price)
                for pk, price in prices.items()
            )
            start_chain(order)
    return order


def get_or_create_order(
    customer: User, order_id: uuid.UUID, **values: object
) -> tuple[Order, bool]:
    """Return a customer's order with this id, and whether it was created."""
    try:
        return Order.objects.get_or_create(pk=order_id, customer=customer, defaults=values)
    except IntegrityError:
        raise ValueError("order_id: it belongs to another customer") from None


def start_chain(order: Order) -> None:
    """Save the chain as rows of the current transaction; it is published after the commit."""
    order_id = str(order.pk)
    chain(
        validate_inventory.si(order_id),
        charge_payment_v2.si(order_id, CURRENCY),
        send_confirmation.si(order_id),
    ).apply_async()
