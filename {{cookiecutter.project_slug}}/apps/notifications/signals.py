"""What others may listen to. apps/notifications knows none of them."""

from django.dispatch import Signal

# A notification was made and its transaction has committed. Arguments: `notification`.
notified = Signal()

# Something happened that all staff who look should see; nothing is kept of it. Arguments: `title`,
# `url`. The transaction in which it happened has committed.
announced = Signal()
