"""Where the contact pages are, below where config/urls.py puts them."""

from django.urls import path

from apps.contact.views import contact, thanks

app_name = "contact"
urlpatterns = [
    path("", contact, name="form"),
    path("thanks/", thanks, name="thanks"),
]
