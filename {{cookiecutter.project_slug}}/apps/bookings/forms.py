"""The booking form."""

from django import forms

from apps.bookings.models import Booking


class BookingForm(forms.ModelForm):
    """The fields for customers."""

    class Meta:
        model = Booking
        fields = ("note",)
