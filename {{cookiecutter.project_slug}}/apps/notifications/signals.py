"""Signals for other apps. Both are sent after the commit of the current transaction."""

from django.dispatch import Signal

# A notification was created. Arguments: `notification`.
notified = Signal()

# A message for all staff with an open page, stored nowhere. Arguments: `title`, `url`.
announced = Signal()
