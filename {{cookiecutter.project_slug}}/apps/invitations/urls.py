"""URLs of the invitations; config/urls.py sets their prefix."""

from django.urls import path

from apps.invitations.views import accept, change, invitation_list

app_name = "invitations"
urlpatterns = [
    path("", invitation_list, name="list"),
    path("<int:pk>/resend/", change, {"action": "resend"}, name="resend"),
    path("<int:pk>/revoke/", change, {"action": "revoke"}, name="revoke"),
    path("accept/<str:token>/", accept, name="accept"),
]
