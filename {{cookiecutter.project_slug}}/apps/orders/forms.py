"""The order form."""

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from django import forms

from apps.orders.models import Product

if TYPE_CHECKING:
    from django.http import QueryDict

MOST_SHOWN = 100  # products
MOST_OF_ONE = 99  # pieces; more is a slip of the finger
PIECES = "product-"  # what the names of the products' fields begin with


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
            # What the customer has seen; Firefox would keep it over a reload, too.
            self.fields[price_field_of(product)] = forms.DecimalField(
                initial=product.price,
                required=False,
                widget=forms.HiddenInput({"autocomplete": "off"}),
            )

    def rows(self) -> Iterator[tuple[Product, forms.BoundField, forms.BoundField]]:
        """Yield each product with its field, and the one that holds its price."""
        return (
            (product, self[field_of(product)], self[price_field_of(product)])
            for product in self.products
        )

    def clean(self) -> dict[str, Any]:
        """Refuse an order of nothing, and one of other things than the customer has seen."""
        wanted = {
            product: self.cleaned_data[field_of(product)]
            for product in self.products
            if self.cleaned_data.get(field_of(product))
        }
        self.cleaned_data["quantities"] = {product.pk: wanted[product] for product in wanted}
        if self.wants_what_is_gone():
            raise forms.ValidationError("Something that you chose is not for sale any more.")
        if changed := [product for product in wanted if self.shows_another_price(product)]:
            self.data = data = cast("QueryDict", self.data).copy()
            for product in changed:
                data[price_field_of(product)] = str(product.price)  # what the next page shows
            names = ", ".join(product.name for product in changed)
            raise forms.ValidationError(f"The price has changed, please look again: {names}.")
        if not wanted and not self.errors:
            raise forms.ValidationError("Enter how many pieces you want of one product or more.")
        return self.cleaned_data

    def wants_what_is_gone(self) -> bool:
        """Say whether a number was entered for a product that is not there."""
        return any(
            name.startswith(PIECES) and name not in self.fields and value.strip() not in {"", "0"}
            for name, value in self.data.items()
        )

    def shows_another_price(self, product: Product) -> bool:
        """Say whether the customer has seen another price than today's."""
        return self.cleaned_data.get(price_field_of(product)) not in {None, product.price}


def field_of(product: Product) -> str:
    """Return the name of a product's field."""
    return f"{PIECES}{product.pk}"


def price_field_of(product: Product) -> str:
    """Return the name of the field that holds a product's price."""
    return f"price-{product.pk}"
