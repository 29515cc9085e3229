from django.apps import AppConfig


class InvitationsConfig(AppConfig):
    name = "apps.invitations"
    home = "invitations:list"
    summary = "Links that are sent by mail, work once and run out, and whose secret no table holds."
