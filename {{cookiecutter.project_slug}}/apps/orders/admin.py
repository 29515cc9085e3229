"""What is for sale, for the staff to change, and what was ordered, for them to read."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from apps.orders.models import Order, OrderLine, Product
from durable.api import LargeTableAdmin


class ProductForm(forms.ModelForm):
    """A product, of which some may be sold while somebody looks at the form."""

    def clean_stock(self) -> int:
        """Return the stock of now, changed by as much as the number that was shown."""
        entered: int = self.cleaned_data["stock"]
        shown = self.fields["stock"].to_python(self.data.get(self.add_initial_prefix("stock")))
        if self.instance.pk is None or shown is None or "stock" not in self.changed_data:
            return entered
        # Locked until it is saved: the admin has opened a transaction.
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
        """Let the form remember which stock it has shown."""
        if db_field.name == "stock":
            kwargs["show_hidden_initial"] = True
        return super().formfield_for_dbfield(db_field, request, **kwargs)

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
