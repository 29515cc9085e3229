"""The user model."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Value
from django.db.models.functions import Lower


class UserManager(BaseUserManager["User"]):
    """Creates and finds users by email address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Save and return a user.

        Args:
            email: the login, unique regardless of letter case.
            password: None if the user cannot log in with a password.
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
        """Save and return a user with all permissions."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """Return the user with this login, regardless of letter case."""
        return self.with_email(username).get()

    def with_email(self, email: str | None) -> models.QuerySet["User"]:
        """Return the user with an address, regardless of letter case, or nothing.

        Not `iexact`: the index does not support it, and it treats more letters as equal.
        """
        return self.alias(lower_email=Lower("email")).filter(lower_email=Lower(Value(email)))


class User(AbstractUser):
    """A user who logs in with an email address."""

    username = None  # type: ignore[assignment]
    email = models.EmailField("email address")

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="users_email_unique",
                violation_error_message="A user with this email address already exists.",
            )
        ]

    def __str__(self) -> str:
        return self.email
