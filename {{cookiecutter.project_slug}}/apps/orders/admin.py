"""What is for sale, for the staff to change, and what was ordered, for them to read."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from apps.orders.models import Order, OrderLine, Product


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    """Products."""

    list_display = ("name", "price", "stock")
    search_fields = ("name",)

    def save_model(self, request: HttpRequest, obj: Product, form: Any, change: bool) -> None:
        """Write only what was changed: a new name must not bring back the stock of a minute ago."""
        obj.save(update_fields=form.changed_data if change else None)


class ReadOnly:
    """Nobody changes by hand what money and goods have followed."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class OrderLineInline(ReadOnly, admin.TabularInline):
    """The goods of an order."""

    model = OrderLine


@admin.register(Order)
class OrderAdmin(ReadOnly, admin.ModelAdmin):
    """Orders."""

    list_display = ("__str__", "customer", "state", "reject_reason", "total", "created_at")
    list_filter = ("state", "created_at")
    list_select_related = ("customer",)
    search_fields = ("=id", "customer__email", "=payment_reference")
    inlines = (OrderLineInline,)
    fields = (
        "id",
        "customer",
        "state",
        "reject_reason",
        "total",
        "payment_reference",
        "created_at",
    )
