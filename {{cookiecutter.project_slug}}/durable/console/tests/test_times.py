"""How the console writes times: as all pages of the service."""

import re
from datetime import UTC, datetime

import pytest
from django.template import Context, Template

AT = datetime(2026, 11, 30, 10, 3, 5, tzinfo=UTC)
PAGES = ["", "tasks/", "emails/", "periodic/", "audit/"]


def shown(name):
    return Template(f"{{% load console %}}{{{{ at|{name} }}}}").render(Context({"at": AT}))


@pytest.mark.parametrize(
    ("name", "text"),
    [("short_time", "30 Nov 2026, 10:03 UTC"), ("exact_time", "30 Nov 2026, 10:03:05 UTC")],
)
def test_a_time_has_the_format_of_the_service_and_its_seconds_as_a_tooltip(name, text):
    element = '<time datetime="2026-11-30T10:03:05+00:00" title="30 Nov 2026, 10:03:05 UTC">'

    assert shown(name) == f"{element}{text}</time>"


@pytest.mark.parametrize(
    ("at", "zone"),
    [
        (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "Europe/Berlin"),
        (datetime(1, 1, 1, tzinfo=UTC), "America/New_York"),
    ],
)
def test_the_first_and_the_last_time_are_shown(settings, at, zone):
    settings.TIME_ZONE = zone
    context = Context({"at": at})

    for name in ("short_time", "exact_time"):
        assert " UTC<" in Template(f"{{% load console %}}{{{{ at|{name} }}}}").render(context)


def test_the_format_is_that_of_the_settings(settings):
    settings.FORMAT_MODULE_PATH = None
    settings.USE_THOUSAND_SEPARATOR = False

    assert ">Nov. 30, 2026, 10:03 a.m.<" in shown("short_time")


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_no_page_writes_times_in_another_way(operator, task, mail, path):
    run, email = task("done"), mail("sent", sent_at=AT)
    operator.post("/console/queues/default/pause/")
    paths = [path, f"tasks/{run.pk}/", f"emails/{email.pk}/"]

    for page in (operator.get(f"/console/{each}").text for each in paths):
        assert not re.search(r">[^<]*\d{4}-\d\d-\d\d[ T]\d\d:\d\d", page)
