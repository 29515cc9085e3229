"""Fixtures of the tests of orders."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.core.cache import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apps.orders.management.commands.fake_gateway import FakeGateway
    from apps.orders.models import Order, Product
    from apps.users.models import User


@pytest.fixture(autouse=True)
def _no_requests_yet() -> None:
    """Let the limits per hour begin with each test."""
    cache.clear()


@pytest.fixture
def customer(db: None, django_user_model: type[User]) -> User:
    """A customer."""
    return django_user_model.objects.create_user("ann@example.com")


@pytest.fixture
def bread(db: None) -> Product:
    """A product with a stock of five."""
    # pytest imports this file before Django is set up.
    product: Product = apps.get_model("orders", "Product").objects.create(
        name="Bread", price="4.50", stock=5
    )
    return product


@pytest.fixture
def place(customer: User, bread: Product) -> Callable[..., Order]:
    """Place an order of bread, with a price and other fields."""
    from apps.orders.services import place_order  # noqa: PLC0415 - needs Django's settings

    def place(quantity: int = 2, *, price: str = "4.50", **fields: Any) -> Order:
        bread.price = price
        bread.save(update_fields=["price"])
        order = place_order(customer, {bread.pk: quantity})
        type(order).objects.filter(pk=order.pk).update(**fields)
        order.refresh_from_db()
        return order

    return place


@pytest.fixture
def gateway(settings: Any) -> Iterator[FakeGateway]:
    """The fake gateway at PAYMENT_GATEWAY_URL, without delayed responses."""
    from apps.orders.management.commands import fake_gateway  # noqa: PLC0415 - needs the settings

    port = urlsplit(settings.PAYMENT_GATEWAY_URL).port
    with fake_gateway.FakeGateway(port, delay_response=str) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
