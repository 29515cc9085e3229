import pytest
import time_machine
from django.conf import settings
from redis import Redis

from durable.tasks.progress import Progress, get_progress, save_progress
from durable.tasks.tasks import heartbeat


def test_progress_has_percentage_and_time_left():
    with time_machine.travel(1_000_000, tick=False):
        save_progress("paced-task", 0, 200)
    with time_machine.travel(1_000_010, tick=False):
        save_progress("paced-task", 50, 200, "a quarter")

    progress = get_progress("paced-task")
    assert (progress.percent, progress.seconds_left, progress.message) == (25, 30.0, "a quarter")


def test_a_task_without_reports_has_no_progress():
    assert get_progress("unheard-of") is None


def test_no_speed_and_no_total_are_no_error():
    progress = Progress(0, 0, "", 0.0, 0.0)

    assert (progress.percent, progress.seconds_left) == (0, None)


@pytest.fixture
def full_redis():
    with Redis.from_url(settings.REDIS_URL) as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


@pytest.mark.usefixtures("full_redis")
def test_a_task_goes_on_though_redis_is_out_of_memory():
    heartbeat.report_progress(1, 2)


def test_a_task_goes_on_though_redis_is_down(redis_server):
    redis_server.stop()

    heartbeat.report_progress(1, 2)
