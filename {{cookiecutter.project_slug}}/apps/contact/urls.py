"""URLs of the contact pages; config/urls.py sets their prefix."""

from django.urls import path

from apps.contact.views import contact, thanks

app_name = "contact"
urlpatterns = [
    path("", contact, name="form"),
    path("thanks/", thanks, name="thanks"),
]
