"""The order form."""

import uuid
from collections.abc import Iterator
from typing import Any

from django import forms

from apps.orders.models import Product

MOST_SHOWN = 100  # products
MOST_OF_ONE = 99  # pieces; more is a slip of the finger


class OrderForm(forms.Form):
    """How many pieces of each product a customer wants."""

    # Drawn when the form is shown, so that one that is sent twice makes one order.
    # Firefox would keep it over a reload.
    order_id = forms.UUIDField(
        initial=uuid.uuid4, widget=forms.HiddenInput({"autocomplete": "off"})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.products = list(Product.objects.all()[:MOST_SHOWN])
        for product in self.products:
            self.fields[field_of(product)] = forms.IntegerField(
                label=product.name, required=False, min_value=0, max_value=MOST_OF_ONE
            )

    def rows(self) -> Iterator[tuple[Product, forms.BoundField]]:
        """Yield each product with its field."""
        return ((product, self[field_of(product)]) for product in self.products)

    def clean(self) -> dict[str, Any]:
        """Refuse an order of nothing."""
        given = {product.pk: self.cleaned_data.get(field_of(product)) for product in self.products}
        self.cleaned_data["quantities"] = {pk: number for pk, number in given.items() if number}
        if not self.cleaned_data["quantities"] and not self.errors:
            raise forms.ValidationError("Enter how many pieces you want of one product or more.")
        return self.cleaned_data


def field_of(product: Product) -> str:
    """Return the name of a product's field."""
    return f"product-{product.pk}"
