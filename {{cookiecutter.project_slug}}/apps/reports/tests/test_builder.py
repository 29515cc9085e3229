import csv
import io
from datetime import date, timedelta

import pytest
import time_machine
from django.db.models.functions import Now

from apps.notifications.models import Notification
from apps.reports import builder, services, tasks
from apps.reports.models import Report, ReportPart, Sale
from apps.reports.tasks import PartsMissingError, build, build_part, finish, send_weekly_report
from config.schedule import SCHEDULE
from durable.api import Email, TaskRun, get_progress

pytestmark = pytest.mark.django_db

NEW_YEAR = date(2024, 1, 1)
DAY = timedelta(days=1)
WEDNESDAY = "2024-01-10T09:00+00:00"


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("ann@example.com")


@pytest.fixture
def staff(django_user_model):
    make = django_user_model.objects.create_user
    make("left@example.com", is_staff=True, is_active=False)
    return [make(f"{name}@example.com", is_staff=True) for name in ("bob", "carl")]


@pytest.fixture
def started(monkeypatch):
    """Record the parts of each chord instead of publishing it."""
    started = []
    monkeypatch.setattr(tasks, "start_parts", lambda _report, parts: started.append(parts))
    return started


@pytest.fixture
def report(user):
    """A report of three parts, with seven, seven and two days."""
    return services.request_report(user, NEW_YEAR, NEW_YEAR + 15 * DAY)


def sell(number, product="Pen", day=0, quantity=1, amount="2.50"):
    return Sale.objects.create(
        external_id=f"s{number}",
        sold_on=NEW_YEAR + day * DAY,
        product=product,
        quantity=quantity,
        amount=amount,
    )


def check(report):
    """Run the durable task, which checks whether the report is complete."""
    try:
        build(str(report.pk))
    except PartsMissingError as error:
        return str(error)
    return "complete"


def rows_of(report):
    header, *rows = csv.reader(io.StringIO("".join(builder.file_parts(report)), newline=""))
    assert header == ["sold_on", "product", "sales", "quantity", "amount"]
    return rows


def test_sales_are_summed_by_day_and_product_in_order(report, started):
    for number, (product, day) in enumerate([("Pen", 15), ("Pen", 0), ("Ink", 0), ("Pen", 0)]):
        sell(number, product, day, quantity=number, amount="1.10")
    sell(4, "Pen", 16)
    check(report)

    for part in reversed(started[0]):
        build_part(part)
    finish(str(report.pk))

    assert rows_of(report) == [
        ["2024-01-01", "Ink", "1", "2", "1.10"],
        ["2024-01-01", "Pen", "2", "4", "2.20"],
        ["2024-01-16", "Pen", "1", "0", "1.10"],
    ]


def test_a_report_is_available_for_an_hour_and_its_user_is_notified(report, user, started):
    check(report)
    for part in started[0]:
        build_part(part)

    finish(str(report.pk))

    report.refresh_from_db()
    assert (report.state, report.percent, report.is_available) == ("done", 100, True)
    assert report.expires_at - report.finished_at == timedelta(hours=1)
    assert Notification.objects.get().user == user
    assert get_progress(str(report.pk)).percent == 100


def test_a_period_is_split_into_weeks(report, started):
    check(report)

    days = [(part.until - part.since).days + 1 for part in report.parts.order_by("number")]
    assert days == [7, 7, 2]


def test_a_report_can_end_on_the_last_possible_date(user, started):
    last = services.request_report(user, date.max - 7 * DAY, date.max)

    assert check(last) == "2 parts are missing"

    assert [part.until for part in last.parts.order_by("number")] == [date.max - DAY, date.max]


@pytest.mark.parametrize(
    "product",
    [
        *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r1", "\n1", " =1", "\xa0=1"),
        *("＝1+1", "＋1", "－1", "＠SUM(A1)", "\N{SMALL PLUS SIGN}1", "\N{MINUS SIGN}1"),
        *("\N{ZERO WIDTH SPACE}=1", "\N{BYTE ORDER MARK}=1"),
    ],
    ids=ascii,
)
def test_formulas_are_escaped(product):
    sell(1, product)

    content, _ = builder.sales_as_csv(NEW_YEAR, NEW_YEAR)

    assert next(csv.reader(io.StringIO(content, newline="")))[1] == f"'{product}"


@pytest.mark.parametrize("product", ["Pen", "Salt = life", "Café", "1", "３"])
def test_other_texts_are_written_as_they_are(product):
    sell(1, product)

    content, _ = builder.sales_as_csv(NEW_YEAR, NEW_YEAR)

    assert next(csv.reader([content]))[1] == product


def test_a_finished_part_is_not_built_again(report, started):
    check(report)
    part = started[0][0]
    build_part(part)
    before = ReportPart.objects.values().get(pk=part)
    sell(1)

    build_part(part)

    assert ReportPart.objects.values().get(pk=part) == before


def test_a_check_only_starts_missing_parts_again(report, started):
    assert check(report) == "3 parts are missing"
    first, *others = started[0]
    build_part(first)

    assert check(report) == "2 parts are missing"

    assert started[1] == others


def test_a_check_delivers_a_complete_report(report, started):
    check(report)
    for part in started[0]:
        build_part(part)

    assert check(report) == "complete"

    report.refresh_from_db()
    assert report.state == "done"
    assert len(started) == 1


def test_a_report_is_delivered_once(report, started):
    check(report)
    for part in started[0]:
        build_part(part)

    for _ in range(2):
        finish(str(report.pk))
        assert check(report) == "complete"

    assert Notification.objects.count() == 1
    assert len(started) == 1


def test_an_incomplete_report_is_not_delivered(report, started):
    check(report)
    build_part(started[0][0])

    finish(str(report.pk))

    report.refresh_from_db()
    assert report.state == "running"


def test_a_report_fails_after_the_time_out(report, started):
    check(report)
    Report.objects.update(started_at=Now() - tasks.BUILD_TIMEOUT - DAY)

    with pytest.raises(PartsMissingError):
        build(str(report.pk))

    assert len(started) == 1


def test_a_failed_report_continues_with_its_finished_parts(report, started):
    check(report)
    build_part(started[0][0])
    Report.objects.filter(pk=report.pk).finish("failed")

    assert check(report) == "2 parts are missing"


def test_a_canceled_report_builds_no_parts(report, started):
    check(report)
    part = started[0][0]
    assert services.cancel(report)

    build_part(part)

    assert check(report) == "complete"
    assert not ReportPart.objects.exists()
    assert not services.cancel(report)


def test_starting_a_report_twice_publishes_one_task(report):
    tasks.start_report(report)

    assert TaskRun.objects.get().pk == report.pk


def test_staff_get_the_report_on_last_week_once(staff, started):
    sell(1)
    with time_machine.travel(WEDNESDAY, tick=False):
        send_weekly_report()
        send_weekly_report()
    report = Report.objects.get()
    assert (report.since, report.until) == (NEW_YEAR, NEW_YEAR + 6 * DAY)
    assert TaskRun.objects.get().args == [str(report.pk)]

    check(report)
    build_part(started[0][0])
    finish(str(report.pk))
    builder.email_to_staff(report)

    assert sorted(email.to for email in Email.objects.all()) == [user.email for user in staff]
    attachment = Email.objects.first().attachments.get()
    assert attachment.name == "sales_2024-01-01_2024-01-07.csv"
    assert b"2024-01-01,Pen,1,1,2.50\r\n" in bytes(attachment.content)


def test_a_report_too_large_for_a_mail_is_not_attached(staff, settings):
    settings.EMAIL_MAX_ATTACHMENTS_SIZE = 10
    report = builder.weekly_report(NEW_YEAR)

    builder.email_to_staff(report)

    email = Email.objects.first()
    assert email.context["attached"] is False
    assert not email.attachments.exists()


def test_an_invalid_address_does_not_stop_the_others(staff, caplog):
    type(staff[0]).objects.filter(pk=staff[0].pk).update(email="no address")

    builder.email_to_staff(builder.weekly_report(NEW_YEAR))

    assert Email.objects.get().to == staff[1].email
    assert "weekly_report_skipped" in caplog.text


def test_beat_runs_it_on_mondays_at_eight():
    (entry,) = [entry for entry in SCHEDULE.values() if entry["task"] == send_weekly_report.name]

    schedule = entry["schedule"]
    assert (schedule.day_of_week, schedule.hour, schedule.minute) == ({1}, {8}, {0})
