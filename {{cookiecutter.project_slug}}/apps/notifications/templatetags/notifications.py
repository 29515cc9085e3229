"""What the bell in pages/base.html shows."""

from django import template

from apps.notifications.services import count_unread

register = template.Library()
register.simple_tag(count_unread)
