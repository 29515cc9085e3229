"""What is for sale, and who ordered it."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

CURRENCY = "EUR"  # of every amount

STEPS = ("Goods set aside", "Payment", "Confirmation")


class Product(models.Model):
    """Something for sale."""

    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=10, decimal_places=2, help_text=f"In {CURRENCY}.")
    stock = models.IntegerField(default=0, help_text="Pieces that nobody has ordered.")

    class Meta:
        ordering = ("name", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(price__gt=0),
                name="orders_price_above_zero",
                violation_error_message="The price has to be above zero.",
            ),
            # The last resort: with it, a mistake in the code fails instead of selling too much.
            models.CheckConstraint(
                condition=Q(stock__gte=0),
                name="orders_stock_not_below_zero",
                violation_error_message="The stock cannot be below zero.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """What a customer ordered at once. Its state says which steps are done."""

    class State(models.TextChoices):
        # In the order of STEPS: each, REJECTED aside, has one more behind it.
        PLACED = "placed"
        RESERVED = "reserved"
        PAID = "paid"
        CONFIRMED = "confirmed"
        REJECTED = "rejected"

    class Reason(models.TextChoices):
        # In the order of STEPS: which one it was.
        OUT_OF_STOCK = "out_of_stock", "There is not enough left of what was ordered."
        PAYMENT_REFUSED = "payment_refused", "The payment was refused."

    # Also the key of its payment, so it must not repeat in another database that uses the gateway.
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
            # Both for the admin's list.
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
        """Return where the customer sees it."""
        return reverse("orders:order", args=[self.pk])

    @property
    def is_settled(self) -> bool:
        """Whether nothing happens to it any more."""
        return self.state in (self.State.CONFIRMED, self.State.REJECTED)

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Each step, and how far it is: done, under way, refused, waiting or left out."""
        if self.state == self.State.REJECTED:
            done, here, later = self.Reason.values.index(self.reject_reason), "refused", "left out"
        else:
            done, here, later = self.State.values.index(self.state), "under way", "waiting"
        words = ["done"] * done + [here] + [later] * len(STEPS)
        return list(zip(STEPS, words, strict=False))


class OrderLine(models.Model):
    """So many pieces of one product, at the price of that day."""

    order = models.ForeignKey(
        Order,
        on_delete=models.CASCADE,
        related_name="lines",
        db_index=False,  # orders_one_line_a_product begins with it
    )
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    quantity = models.PositiveSmallIntegerField()
    price = models.DecimalField(max_digits=10, decimal_places=2)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "product"], name="orders_one_line_a_product"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="orders_quantity_above_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product}"
