"""The notification model."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Notification(models.Model):
    """One message to one user."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="notifications",
        db_index=False,  # notifications_by_user begins with it
    )
    kind = models.CharField(max_length=50)
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    url = models.CharField("link", max_length=500, blank=True)
    correlation_id = models.CharField(max_length=100, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    read_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("-created_at", "-pk")
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="notifications_by_user"),
            # For the count on every page: its cost must not grow with read notifications.
            models.Index(
                fields=["user"],
                name="notifications_unread",
                condition=models.Q(read_at__isnull=True),
            ),
            # For the console.
            models.Index(
                fields=["correlation_id"],
                name="notifications_by_correlation",
                condition=~models.Q(correlation_id=""),
            ),
            # For the purge.
            models.Index(fields=["created_at"], name="notifications_by_age"),
        ]

    def __str__(self) -> str:
        return self.title
