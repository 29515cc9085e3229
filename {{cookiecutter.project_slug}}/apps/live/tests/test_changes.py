"""How web processes look for changes of work."""

from apps.live import consumers


def test_the_database_is_asked_as_often_for_many_pages_as_for_one(monkeypatch, settings):
    asked = []
    monkeypatch.setattr(consumers, "work_version", lambda: asked.append(1) or str(len(asked)))
    monkeypatch.setattr(consumers, "reading", consumers.Reading())
    settings.LIVE_CONSOLE_INTERVAL = 600

    assert {consumers.newest_version() for _page in range(100)} == {"1"}

    settings.LIVE_CONSOLE_INTERVAL = 0
    monkeypatch.setattr(consumers, "reading", consumers.Reading())
    assert [consumers.newest_version() for _ in range(2)] == ["2", "3"]
