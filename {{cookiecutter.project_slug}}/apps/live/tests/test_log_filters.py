import logging

from apps.live.log_filters import OncePerOutage


def test_repeated_errors_are_logged_once_per_outage():
    once = OncePerOutage()
    seconds = [1000, 1001, 1030, 1061, 1200, 1201]

    passed = [
        second for second in seconds if once.filter(logging.makeLogRecord({"created": second}))
    ]
    assert passed == [1000, 1200]
