"""The model for messages of visitors."""

from django.db import models
from django.db.models.functions import Now


class Submission(models.Model):
    """One message from a visitor."""

    name = models.CharField(max_length=100)
    email = models.EmailField("email address")
    subject = models.CharField(max_length=100)
    message = models.TextField(max_length=5000)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    read_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            # For the cleanup.
            models.Index(
                fields=["created_at"],
                name="contact_read_by_age",
                condition=models.Q(read_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.subject} ({self.name})"
