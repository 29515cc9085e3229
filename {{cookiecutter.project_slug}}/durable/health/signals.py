"""The signal of a problem of the service."""

from django.dispatch import Signal

# A problem has begun, lasts for another hour, or is over. Arguments: `problem`, its name; `state`: "begun",
# "lasting" or "over"; `text`, for people. Sent outside of any transaction, by one process only.
health_changed = Signal()
