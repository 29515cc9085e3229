"""The contact form."""

from django import forms

from apps.contact.models import Submission
from durable.api import validate_address


class ContactForm(forms.ModelForm):
    """The fields for visitors."""

    class Meta:
        model = Submission
        fields = ("name", "email", "subject", "message")
        widgets = {
            "name": forms.TextInput({"autocomplete": "name"}),
            "email": forms.EmailInput({"autocomplete": "email"}),
            "message": forms.Textarea({"rows": 8}),
        }

    def clean_email(self) -> str:
        """Reject addresses that Django accepts and email does not, such as `ann@[127.0.0.1]`."""
        try:
            return validate_address("email", self.cleaned_data["email"])
        except ValueError as error:
            raise forms.ValidationError("Enter an address that can receive email.") from error
