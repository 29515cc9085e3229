from django.apps import AppConfig


class ContactConfig(AppConfig):
    name = "apps.contact"
    home = "contact:form"
    summary = "A form that responds at once, with emails that cannot be lost."
