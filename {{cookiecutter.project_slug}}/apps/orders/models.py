"""Models for products and orders."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

CURRENCY = "EUR"  # of all amounts

STEPS = ("Reservation", "Payment", "Confirmation")


class Product(models.Model):
    """A product for sale."""

    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=10, decimal_places=2, help_text=f"In {CURRENCY}.")
    stock = models.IntegerField(default=0, help_text="Pieces that can be ordered.")

    class Meta:
        ordering = ("name", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(price__gt=0),
                name="orders_price_above_zero",
                violation_error_message="The price must be above zero.",
            ),
            # A safeguard: a bug in the code fails instead of selling more than there is.
            models.CheckConstraint(
                condition=Q(stock__gte=0),
                name="orders_stock_not_below_zero",
                violation_error_message="The stock must not be below zero.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """An order. Its state shows which steps are done."""

    class State(models.TextChoices):
        # In the order of STEPS: each state except REJECTED has one more step done.
        PLACED = "placed"
        RESERVED = "reserved"
        PAID = "paid"
        CONFIRMED = "confirmed"
        REJECTED = "rejected"

    class Reason(models.TextChoices):
        # In the order of STEPS: the step that rejected the order.
        OUT_OF_STOCK = "out_of_stock", "Not enough pieces are in stock."
        PAYMENT_DECLINED = "payment_declined", "The payment was declined."

    # Also the key of its payment: it must be unique among all databases that use the gateway.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="orders",
        db_index=False,  # orders_by_customer begins with it
    )
    state = models.CharField(max_length=20, choices=State, default=State.PLACED)
    reject_reason = models.CharField(max_length=20, choices=Reason, blank=True)
    total = models.DecimalField(max_digits=14, decimal_places=2)
    payment_reference = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=["customer", "-created_at"], name="orders_by_customer"),
            # Both for the list in the admin.
            models.Index(fields=["created_at"], name="orders_by_age"),
            models.Index(
                fields=["payment_reference"],
                name="orders_by_payment",
                condition=~Q(payment_reference=""),
            ),
        ]

    def __str__(self) -> str:
        return f"Order {self.id.hex[:8]}"

    def get_absolute_url(self) -> str:
        """Return the path of its page, for the customer."""
        return reverse("orders:order", args=[self.pk])

    @property
    def is_final(self) -> bool:
        """Whether its state will not change again."""
        return self.state in (self.State.CONFIRMED, self.State.REJECTED)

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Each step with its status: done, in progress, failed, waiting or skipped."""
        if self.state == self.State.REJECTED:
            done, current, later = self.Reason.values.index(self.reject_reason), "failed", "skipped"
        else:
            done, current, later = self.State.values.index(self.state), "in progress", "waiting"
        statuses = ["done"] * done + [current] + [later] * len(STEPS)
        return list(zip(STEPS, statuses, strict=False))


class OrderLine(models.Model):
    """A quantity of one product, at its price when the order was placed."""

    order = models.ForeignKey(
        Order,
        on_delete=models.CASCADE,
        related_name="lines",
        db_index=False,  # orders_one_line_per_product begins with it
    )
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    quantity = models.PositiveSmallIntegerField()
    price = models.DecimalField(max_digits=10, decimal_places=2)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["order", "product"], name="orders_one_line_per_product"
            ),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="orders_quantity_above_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product}"
