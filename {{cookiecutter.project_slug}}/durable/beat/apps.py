from django.apps import AppConfig


class BeatConfig(AppConfig):
    name = "durable.beat"
