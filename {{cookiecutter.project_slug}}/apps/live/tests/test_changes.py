"""How web processes look for changes of work."""

import pytest
from django.db import OperationalError

from apps.live import consumers


def test_not_every_page_waits_for_a_database_that_does_not_answer(monkeypatch, settings):
    asked = []

    def fail():
        asked.append(1)
        raise OperationalError

    monkeypatch.setattr(consumers, "work_version", fail)
    monkeypatch.setattr(consumers, "reading", consumers.Reading("known"))
    settings.LIVE_CONSOLE_INTERVAL = 600

    with pytest.raises(OperationalError):
        consumers.newest_version()

    assert {consumers.newest_version() for _page in range(100)} == {"known"}
    assert len(asked) == 1


def test_the_database_is_asked_as_often_for_many_pages_as_for_one(monkeypatch, settings):
    asked = []
    monkeypatch.setattr(consumers, "work_version", lambda: asked.append(1) or str(len(asked)))
    monkeypatch.setattr(consumers, "reading", consumers.Reading())
    settings.LIVE_CONSOLE_INTERVAL = 600

    assert {consumers.newest_version() for _page in range(100)} == {"1"}

    settings.LIVE_CONSOLE_INTERVAL = 0
    monkeypatch.setattr(consumers, "reading", consumers.Reading())
    assert [consumers.newest_version() for _ in range(2)] == ["2", "3"]
