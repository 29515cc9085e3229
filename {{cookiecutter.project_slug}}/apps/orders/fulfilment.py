"""The steps of an order. Each step checks the order's state first, so a second run does nothing.

After a rejection, the remaining steps of the chain do nothing. A rejected order is no failed task:
staff do not have to look at it.
"""

import structlog
from django.db import transaction
from django.db.models import F

from apps.notifications.services import notify
from apps.orders import gateway
from apps.orders.models import CURRENCY, Order, Product
from durable.api import send_email

logger = structlog.get_logger(__name__)


def reserve(order_id: str) -> None:
    """Reserve the stock of an order: all of it, or none, and then reject the order."""
    with transaction.atomic():
        order = lock_order(order_id)
        if order.state != Order.State.PLACED:
            return
        if reserve_stock(order):
            order.state = Order.State.RESERVED
            order.save(update_fields=["state"])
        else:
            reject(order, Order.Reason.OUT_OF_STOCK)


def charge(order_id: str, currency: str) -> None:
    """Charge an order; reject it if the gateway declines the payment.

    Raises:
        as `gateway.charge`, except PaymentDeclinedError.
    """
    order = Order.objects.get(pk=order_id)
    if order.state != Order.State.RESERVED:
        return
    # No lock is held during the request. If two workers charge at once, the key of the payment
    # makes both get the response to the same payment.
    try:
        reference = gateway.charge(str(order.pk), order.total, currency)
    except gateway.PaymentDeclinedError as error:
        logger.warning("payment_declined", order_id=order_id, error=str(error))
        decline(order_id)
        return
    Order.objects.filter(pk=order_id, state=Order.State.RESERVED).update(
        state=Order.State.PAID, payment_reference=reference
    )


def decline(order_id: str) -> None:
    """Reject an order whose payment was declined, and release its stock."""
    with transaction.atomic():
        order = lock_order(order_id)
        if order.state == Order.State.RESERVED:
            release_stock(order)
            reject(order, Order.Reason.PAYMENT_DECLINED)


def confirm(order_id: str) -> None:
    """Confirm a paid order to its customer."""
    with transaction.atomic():
        order = lock_order(order_id)
        if order.state != Order.State.PAID:
            return
        order.state = Order.State.CONFIRMED
        order.save(update_fields=["state"])
        notify_customer(order)


def lock_order(order_id: str) -> Order:
    """Return an order, locked until the end of the transaction."""
    return Order.objects.select_for_update(no_key=True).get(pk=order_id)


def reserve_stock(order: Order) -> bool:
    """Take the quantities of an order from the stock; return False if one is not available."""
    quantities = dict(order.lines.values_list("product_id", "quantity"))
    # Always locked by primary key: otherwise two workers could each wait for a lock of the other.
    # `no_key` does not block new orders, whose lines have a foreign key to the products.
    products = (
        Product.objects.select_for_update(no_key=True).order_by("pk").filter(pk__in=quantities)
    )
    for product in products:
        product.stock -= quantities[product.pk]
    if any(product.stock < 0 for product in products):
        return False
    Product.objects.bulk_update(products, ["stock"])
    return True


def release_stock(order: Order) -> None:
    """Return the quantities of an order to the stock, in the same order of locks."""
    for line in order.lines.order_by("product_id"):
        Product.objects.filter(pk=line.product_id).update(stock=F("stock") + line.quantity)


def reject(order: Order, reason: Order.Reason) -> None:
    """Reject an order, and send the reason to its customer."""
    order.state, order.reject_reason = Order.State.REJECTED, reason
    order.save(update_fields=["state", "reject_reason"])
    notify_customer(order)


def notify_customer(order: Order) -> None:
    """Send the result of an order by email and notification, in the transaction of its state."""
    outcome = "confirmed" if order.state == Order.State.CONFIRMED else "rejected"
    reason = order.get_reject_reason_display()
    context = {
        "order": str(order),
        "path": order.get_absolute_url(),
        "outcome": outcome,
        "reason": reason,
        "total": f"{order.total} {CURRENCY}",
        "lines": [str(line) for line in order.lines.select_related("product")],
    }
    send_email(
        "order_outcome", order.customer.email, context, key=f"order-{order.pk}", related=order
    )
    notify(order.customer, "order", f"{order} is {outcome}", reason, order.get_absolute_url())
