import runpy

import pytest
from celery import current_app
from django.conf import settings
from django.core.checks import run_checks

from config.queues import ROUTES, VISIBILITY_TIMEOUT, route_of


def errors():
    return [error.msg for error in run_checks(tags=["celery"])]


@pytest.fixture
def procfile(settings, tmp_path):
    settings.BASE_DIR = tmp_path
    return (tmp_path / "Procfile").write_text


def test_every_task_has_a_route_and_gets_its_limits():
    current_app.loader.import_default_modules()

    for task in current_app.tasks.values():
        route = route_of(task.name)
        assert current_app.amqp.router.route({}, task.name)["queue"].name == route.queue
        assert (task.soft_time_limit, task.time_limit) == (route.soft_limit, route.hard_limit)


def test_the_soft_limit_is_below_the_hard_limit_and_that_below_the_visibility_timeout():
    for route in ROUTES:
        # The delay before a retry passes in a worker too.
        longest = route.hard_limit + settings.TASK_RETRY_MAX_DELAY
        assert 0 < route.soft_limit < route.hard_limit
        assert longest < VISIBILITY_TIMEOUT.total_seconds()


@pytest.mark.parametrize(("timeout", "limit"), [("60", 180), ("2", 30)])
def test_a_delivery_outlasts_the_providers_time_out(monkeypatch, timeout, limit):
    monkeypatch.setenv("EMAIL_TIMEOUT", timeout)

    made = runpy.run_path(str(settings.BASE_DIR / "config/queues.py"))

    assert made["route_of"]("mail.deliver_email").soft_limit == limit


def test_a_queue_without_a_worker_is_found(procfile):
    procfile("web: gunicorn config.wsgi\n")

    queues = sorted({route.queue for route in ROUTES})
    assert errors() == [
        f"config/queues.py: no worker in the Procfile listens to {queue!r}" for queue in queues
    ]


@pytest.mark.parametrize("option", ["-Q emials", "-Qemials", "--queues emials", "--queues=emials"])
def test_a_worker_of_a_queue_that_does_not_exist_is_found(procfile, option):
    procfile(
        f'all: celery -A config worker\nodd: watchfiles "celery -A config worker {option}" apps\n'
    )

    assert errors() == ["Procfile: odd listens to 'emials', which is not in config/queues.py"]


def test_a_worker_without_the_option_listens_to_all(procfile):
    procfile("worker: celery -A config worker -c 4\n")

    assert errors() == []
