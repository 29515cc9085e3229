"""All tasks are durable: an order must be charged, and a paid order must be confirmed.

Their argument is the id of an order. Each may run twice; see apps/orders/fulfilment.py.
"""

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from apps.orders import fulfilment
from apps.orders.gateway import GatewayUnavailableError
from apps.orders.models import CURRENCY
from durable.api import TRANSIENT_ERRORS, DurableTask

# TRANSIENT_ERRORS includes connection errors and time-outs. A response that arrives byte by byte
# reaches the soft time limit instead.
RETRIED_ERRORS = (*TRANSIENT_ERRORS, GatewayUnavailableError, SoftTimeLimitExceeded)


@shared_task(base=DurableTask, name="orders.validate_inventory")
def validate_inventory(order_id: str) -> None:
    """Reserve the stock of an order, or reject it."""
    fulfilment.reserve(order_id)


@shared_task(base=DurableTask, name="orders.charge_payment_v2", autoretry_for=RETRIED_ERRORS)
def charge_payment_v2(order_id: str, currency: str) -> None:
    """Charge an order in a currency, or reject it."""
    fulfilment.charge(order_id, currency)


# The second version has another argument, so it has another name. During a deployment both are in
# use: by web processes with the old code, and by chains that are already rows. Restart workers before
# web processes, so that each name is known to a worker before it is published. If all processes
# restart at once, add the second version in one release and call it in the next.
#
# Delete this version when no row contains its name: no waiting run, and no failed task that could be
# replayed, which is FAILED_TASK_RETENTION_DAYS after the last call.
@shared_task(base=DurableTask, name="orders.charge_payment", autoretry_for=RETRIED_ERRORS)
def charge_payment(order_id: str) -> None:
    """Charge an order: the first version, without a currency."""
    fulfilment.charge(order_id, CURRENCY)


@shared_task(base=DurableTask, name="orders.send_confirmation")
def send_confirmation(order_id: str) -> None:
    """Confirm a paid order."""
    fulfilment.confirm(order_id)
