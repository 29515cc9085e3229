from django.apps import AppConfig


class ContactConfig(AppConfig):
    name = "apps.contact"
    home = "contact:form"
    summary = "A form whose answer waits for no mail, and whose mails cannot be lost."
