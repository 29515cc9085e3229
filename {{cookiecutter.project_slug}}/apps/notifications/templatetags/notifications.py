"""The count of unread notifications in pages/base.html."""

from django import template

from apps.notifications.services import count_unread

register = template.Library()
register.simple_tag(count_unread)
