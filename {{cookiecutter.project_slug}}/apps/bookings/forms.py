"""The booking form."""

from django import forms

from apps.bookings.models import Booking


class BookingForm(forms.ModelForm):
    """What a customer may add."""

    class Meta:
        model = Booking
        fields = ("note",)
