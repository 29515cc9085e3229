import pytest
import time_machine
from django.core.cache import cache

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


@pytest.mark.parametrize("trouble", ["fill", "stop"])
def test_a_task_goes_on_though_redis_is_full_or_down(redis_server, trouble):
    getattr(redis_server, trouble)()

    heartbeat.report_progress(1, 2)


@pytest.mark.parametrize(
    "planted", [1, "text", [], {"done": 1}, {"done": "x", "total": 1}], ids=str
)
def test_json_of_another_form_is_no_progress(planted):
    report = {"message": "", "started_at": 1.0, "reported_at": 1.0}
    cache.set("progress:planted", planted | report if isinstance(planted, dict) else planted)

    assert get_progress("planted") is None
