"""Products and orders in the admin."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from apps.orders.models import Order, OrderLine, Product
from durable.api import LargeTableAdmin


class ProductForm(forms.ModelForm):
    """A product whose stock may change while the form is open."""

    def clean_stock(self) -> int:
        """Apply the difference between the entered and the shown number to the current stock."""
        entered: int = self.cleaned_data["stock"]
        shown = self.fields["stock"].to_python(self.data.get(self.add_initial_prefix("stock")))
        if self.instance.pk is None or shown is None or "stock" not in self.changed_data:
            return entered
        # Locked until it is saved, since the admin has opened a transaction.
        product = Product.objects.select_for_update(no_key=True).get(pk=self.instance.pk)
        return product.stock + entered - int(shown)


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    """Products."""

    form = ProductForm
    list_display = ("name", "price", "stock")
    search_fields = ("name",)

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        """Add the shown stock to the form as a hidden field."""
        if db_field.name == "stock":
            kwargs["show_hidden_initial"] = True
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Product, form: Any, change: bool) -> None:
        """Write only changed fields: a new name must not restore an outdated stock."""
        obj.save(update_fields=form.changed_data if change else None)


class ReadOnly:
    """Rows that are never changed by hand, since payments and deliveries depend on them."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class OrderLineInline(ReadOnly, admin.TabularInline):
    """The lines of an order."""

    model = OrderLine


@admin.register(Order)
class OrderAdmin(ReadOnly, LargeTableAdmin):
    """Orders."""

    list_display = ("__str__", "customer", "state", "reject_reason", "total", "created_at")
    list_filter = ("state", "created_at")
    list_select_related = ("customer",)
    exact_search_fields = ("id", "payment_reference")
    search_fields = ("customer__email",)
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
