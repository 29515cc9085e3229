import time_machine

from apps.tasks.progress import Progress, get_progress, save_progress


def test_progress_tells_share_and_time_left():
    with time_machine.travel(1_000_000, tick=False):
        save_progress("some-task", 0, 200)
    with time_machine.travel(1_000_010, tick=False):
        save_progress("some-task", 50, 200, "a quarter")

    progress = get_progress("some-task")
    assert (progress.percent, progress.seconds_left, progress.message) == (25, 30.0, "a quarter")


def test_a_task_that_told_nothing_has_no_progress():
    assert get_progress("unheard-of") is None


def test_no_pace_and_no_total_are_no_error():
    progress = Progress(0, 0, "", 0.0, 0.0)

    assert (progress.percent, progress.seconds_left) == (0, None)
