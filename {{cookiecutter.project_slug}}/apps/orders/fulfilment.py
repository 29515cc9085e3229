"""The steps of an order. Each looks at the order's state first, so that twice is once.

A step that has nothing to do does nothing: so a chain goes on behind a rejected order, and ends.
To be sold out is no failure of a task, and nobody should find it among the failed ones.
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
    """Set the goods of an order aside: all, or none, and then the order is rejected."""
    with transaction.atomic():
        order = locked(order_id)
        if order.state != Order.State.PLACED:
            return
        if take_from_stock(order):
            order.state = Order.State.RESERVED
            order.save(update_fields=["state"])
        else:
            reject(order, Order.Reason.OUT_OF_STOCK)


def charge(order_id: str, currency: str) -> None:
    """Take the payment of an order, or reject the order if the gateway refuses it.

    Raises:
        as `gateway.charge`, PaymentRefusedError aside.
    """
    order = Order.objects.get(pk=order_id)
    if order.state != Order.State.RESERVED:
        return
    # No lock is held while the gateway thinks. Should two workers come here at once, its key makes
    # both get the answer to one payment.
    try:
        reference = gateway.charge(str(order.pk), order.total, currency)
    except gateway.PaymentRefusedError as error:
        logger.warning("payment_refused", order_id=order_id, error=str(error))
        refuse_payment(order_id)
        return
    Order.objects.filter(pk=order_id, state=Order.State.RESERVED).update(
        state=Order.State.PAID, payment_reference=reference
    )


def refuse_payment(order_id: str) -> None:
    """Reject an order that cannot be paid, and put its goods back."""
    with transaction.atomic():
        order = locked(order_id)
        if order.state == Order.State.RESERVED:
            put_back_into_stock(order)
            reject(order, Order.Reason.PAYMENT_REFUSED)


def confirm(order_id: str) -> None:
    """Tell the customer of a paid order that the goods will come."""
    with transaction.atomic():
        order = locked(order_id)
        if order.state != Order.State.PAID:
            return
        order.state = Order.State.CONFIRMED
        order.save(update_fields=["state"])
        tell(order)


def locked(order_id: str) -> Order:
    """Return an order that nobody else changes until the transaction ends."""
    return Order.objects.select_for_update(no_key=True).get(pk=order_id)


def take_from_stock(order: Order) -> bool:
    """Take the goods of an order out of the stock; False, with nothing taken, if any is short."""
    quantities = dict(order.lines.values_list("product_id", "quantity"))
    # In one order for all: else two workers may each hold what the other one waits for. `no_key`,
    # so that who places an order meanwhile does not wait.
    products = (
        Product.objects.select_for_update(no_key=True).order_by("pk").filter(pk__in=quantities)
    )
    for product in products:
        product.stock -= quantities[product.pk]
    if any(product.stock < 0 for product in products):
        return False
    Product.objects.bulk_update(products, ["stock"])
    return True


def put_back_into_stock(order: Order) -> None:
    """Give back what an order took, in the same order of locks."""
    for line in order.lines.order_by("product_id"):
        Product.objects.filter(pk=line.product_id).update(stock=F("stock") + line.quantity)


def reject(order: Order, reason: Order.Reason) -> None:
    """End an order, and tell its customer why."""
    order.state, order.reject_reason = Order.State.REJECTED, reason
    order.save(update_fields=["state", "reject_reason"])
    tell(order)


def tell(order: Order) -> None:
    """Tell a customer how an order ended, by mail and in the service, with the state's transaction."""
    outcome = "confirmed" if order.state == Order.State.CONFIRMED else "rejected"
    reason = order.get_reject_reason_display()
    context = {
        "order": str(order),
        "path": order.get_absolute_url(),
        "outcome": outcome,
        "reason": reason,
        "total": f"{order.total} {CURRENCY}",
        "goods": [str(line) for line in order.lines.select_related("product")],
    }
    send_email(
        "order_outcome", order.customer.email, context, key=f"order-{order.pk}", related=order
    )
    notify(order.customer, "order", f"{order} is {outcome}", reason, order.get_absolute_url())
