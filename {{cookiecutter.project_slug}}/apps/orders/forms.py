"""The order form."""

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from django import forms

from apps.orders.models import Product

if TYPE_CHECKING:
    from django.http import QueryDict

MAX_PRODUCTS = 100  # shown
MAX_QUANTITY = 99  # pieces of a product; more is probably a typing error
QUANTITY_PREFIX = "quantity-"  # of the names of fields


class OrderForm(forms.Form):
    """The quantity of each product."""

    # Chosen when the form is shown, so that submitting it twice places one order.
    # Without `autocomplete`, Firefox would keep the value after a reload.
    order_id = forms.UUIDField(
        initial=uuid.uuid4, widget=forms.HiddenInput({"autocomplete": "off"})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.products = list(Product.objects.all()[:MAX_PRODUCTS])
        for product in self.products:
            self.fields[quantity_field(product)] = forms.IntegerField(
                label=product.name, required=False, min_value=0, max_value=MAX_QUANTITY
            )
            # The price that the customer sees.
            self.fields[price_field(product)] = forms.DecimalField(
                initial=product.price,
                required=False,
                widget=forms.HiddenInput({"autocomplete": "off"}),
            )

    def rows(self) -> Iterator[tuple[Product, forms.BoundField, forms.BoundField]]:
        """Yield each product with the fields of its quantity and its price."""
        return (
            (product, self[quantity_field(product)], self[price_field(product)])
            for product in self.products
        )

    def clean(self) -> dict[str, Any]:
        """Reject an empty order, and one whose products or prices have changed."""
        ordered = {
            product: self.cleaned_data[quantity_field(product)]
            for product in self.products
            if self.cleaned_data.get(quantity_field(product))
        }
        self.cleaned_data["quantities"] = {product.pk: ordered[product] for product in ordered}
        if self.has_unknown_product():
            raise forms.ValidationError("A product that you chose is no longer available.")
        if changed := [product for product in ordered if self.price_has_changed(product)]:
            self.show_current_prices(changed)
            names = ", ".join(product.name for product in changed)
            raise forms.ValidationError(f"The price has changed, please check it: {names}.")
        if not ordered and not self.errors:
            raise forms.ValidationError("Enter the quantity of at least one product.")
        return self.cleaned_data

    def has_unknown_product(self) -> bool:
        """Return whether there is a quantity of a product that the form does not offer."""
        return any(
            name.startswith(QUANTITY_PREFIX)
            and name not in self.fields
            and value.strip() not in {"", "0"}
            for name, value in self.data.items()
        )

    def price_has_changed(self, product: Product) -> bool:
        """Return whether the customer has seen another price than the current one."""
        return self.cleaned_data.get(price_field(product)) not in {None, product.price}

    def show_current_prices(self, products: list[Product]) -> None:
        """Replace the prices in the hidden fields of the next page."""
        self.data = data = cast("QueryDict", self.data).copy()
        for product in products:
            data[price_field(product)] = str(product.price)


def quantity_field(product: Product) -> str:
    return f"{QUANTITY_PREFIX}{product.pk}"


def price_field(product: Product) -> str:
    return f"price-{product.pk}"
