"""What others may listen to. apps/notifications knows none of them."""

from django.dispatch import Signal

# A notification was made and its transaction has committed. Arguments: `notification`.
notified = Signal()
