"""Where the invitations' pages are, below where config/urls.py puts them."""

from django.urls import path

from apps.invitations.views import accept, change, invitation_list

app_name = "invitations"
urlpatterns = [
    path("", invitation_list, name="list"),
    path("<int:pk>/resend/", change, {"what": "resend"}, name="resend"),
    path("<int:pk>/revoke/", change, {"what": "revoke"}, name="revoke"),
    path("accept/<str:token>/", accept, name="accept"),
]
