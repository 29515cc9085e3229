"""Durable, all of them: a payment is a must, and who has paid is owed the rest of the chain.

They take an order's id, and each may run twice: apps/orders/fulfilment.py sees to that.
"""

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from apps.orders import fulfilment
from apps.orders.gateway import GatewayUnavailableError
from apps.orders.models import CURRENCY
from durable.api import TRANSIENT_ERRORS, DurableTask

# Connections and time-outs are among TRANSIENT_ERRORS. An answer that trickles in runs into the soft limit.
TRIED_AGAIN = (*TRANSIENT_ERRORS, GatewayUnavailableError, SoftTimeLimitExceeded)


@shared_task(base=DurableTask, name="orders.validate_inventory")
def validate_inventory(order_id: str) -> None:
    """Set the goods of an order aside, or reject it."""
    fulfilment.reserve(order_id)


@shared_task(base=DurableTask, name="orders.charge_payment_v2", autoretry_for=TRIED_AGAIN)
def charge_payment_v2(order_id: str, currency: str) -> None:
    """Take the payment of an order in a currency, or reject the order."""
    fulfilment.charge(order_id, currency)


# The second version takes another argument, and so has another name. During a deploy both are called:
# by the web that still runs the old code, and from the rows of chains that it began. Workers are
# restarted before web, so none is given a name that it does not know; where all starts at once, one
# release brings the second version and the next one calls it.
#
# This one may go when no row names it: none that waits, and no failed task that somebody could run
# again, which is FAILED_TASK_RETENTION_DAYS after the last call.
@shared_task(base=DurableTask, name="orders.charge_payment", autoretry_for=TRIED_AGAIN)
def charge_payment(order_id: str) -> None:
    """Take the payment of an order: the first version, from before there was a choice of currency."""
    fulfilment.charge(order_id, CURRENCY)


@shared_task(base=DurableTask, name="orders.send_confirmation")
def send_confirmation(order_id: str) -> None:
    """Confirm an order that is paid."""
    fulfilment.confirm(order_id)
