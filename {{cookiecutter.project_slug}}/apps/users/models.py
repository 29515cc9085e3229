"""The user of this service."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Value
from django.db.models.functions import Lower


class UserManager(BaseUserManager["User"]):
    """Makes users by email address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Save and return a user.

        Args:
            email: the login; letter case does not tell two users apart.
            password: None for a user who cannot log in with one.
            fields: further fields of the model.

        Raises:
            ValueError: `email` is empty.
        """
        if not email:
            raise ValueError("email: a user needs an email address, it is the login")
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Save and return a user who may do everything."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """Find who logs in, whatever the letter case."""
        return self.with_email(username).get()

    def with_email(self, email: str | None) -> models.QuerySet["User"]:
        """Return who has an address, whatever the letter case: one user or none.

        Not `iexact`: PostgreSQL has no index for that, and takes more letters for the same.
        """
        return self.alias(lower_email=Lower("email")).filter(lower_email=Lower(Value(email)))


class User(AbstractUser):
    """A person who logs in with an email address."""

    username = None  # type: ignore[assignment]
    email = models.EmailField("email address")

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="users_email_unique_in_any_case",
                violation_error_message="A user with this email address exists already.",
            )
        ]

    def __str__(self) -> str:
        return self.email
