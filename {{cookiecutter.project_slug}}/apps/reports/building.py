"""Builds a report from parts, each a row of its own: a part that is done is done, whoever comes."""

import csv
import io
from collections.abc import Iterator
from datetime import date, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Sum
from django.db.models.functions import Now

from apps.notifications.services import notify
from apps.reports.models import Report, ReportPart, Sale
from apps.reports.telling import tell
from apps.users.models import User
from durable.api import send_email

logger = structlog.get_logger(__name__)

DAYS_PER_PART = 7
KEPT_FOR = timedelta(hours=1)  # it is built again in no time, and then shows what is new
WEEK = timedelta(days=7)
COLUMNS = ("sold_on", "product", "sales", "quantity", "amount")
# What makes a spreadsheet calculate a cell instead of showing it (OWASP, "CSV injection").
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
MISSING = ReportPart.objects.filter(report=OuterRef("pk"), finished_at=None)


def begin(report_id: str) -> Report | None:
    """Return the report with a row for each of its parts, or None if it has ended."""
    with transaction.atomic():
        report = Report.objects.begin(report_id)
        if report is not None:
            ReportPart.objects.bulk_create(parts_of(report), ignore_conflicts=True)
    return report


def parts_of(report: Report) -> Iterator[ReportPart]:
    """Cut the period of a report into parts; the last one may be shorter."""
    days = (report.until - report.since).days + 1
    for number, first in enumerate(range(0, days, DAYS_PER_PART)):
        # Never a day behind the last one: after 9999-12-31 there is none.
        last = min(first + DAYS_PER_PART, days) - 1
        since, until = (report.since + timedelta(days=day) for day in (first, last))
        yield ReportPart(report=report, number=number, since=since, until=until)


def build_part(part_id: int) -> None:
    """Write what a part holds, unless it is done or nobody waits for it any more."""
    wanted = ReportPart.objects.filter(
        pk=part_id, finished_at=None, report__state=Report.State.RUNNING
    )
    part = wanted.select_related("report").first()
    if part is None:
        return
    content, rows = table(part.since, part.until)
    if wanted.update(content=content, rows=rows, finished_at=Now()):
        tell(part.report, f"up to {part.until}")


def table(since: date, until: date) -> tuple[str, int]:
    """Return the lines of some days as CSV, and how many these are."""
    sales = (
        Sale.objects.filter(sold_on__range=(since, until))
        .values_list("sold_on", "product")
        .annotate(Count("pk"), Sum("quantity"), Sum("amount"))
        .order_by("sold_on", "product")
    )
    file, rows = io.StringIO(), 0
    writer = csv.writer(file)
    for sold_on, product, number, quantity, amount in sales.iterator():
        writer.writerow([sold_on, harmless(product), number, quantity, f"{amount:.2f}"])
        rows += 1
    return file.getvalue(), rows


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def finish(report_id: str) -> bool:
    """Hand a report over if all its parts are there; return whether this call did."""
    whole = Report.objects.filter(~Exists(MISSING), pk=report_id, state=Report.State.RUNNING)
    with transaction.atomic():
        if not whole.update(
            state=Report.State.DONE, finished_at=Now(), expires_at=Now() + KEPT_FOR
        ):
            return False
        report = Report.objects.select_related("user").get(pk=report_id)
        hand_over(report)
    tell(report, report.state)
    return True


def hand_over(report: Report) -> None:
    """Tell whoever the report was made for."""
    if report.user is None:
        mail_to_staff(report)
    else:
        url = report.get_absolute_url()
        notify(report.user, "reports", f"Your report {report} is there", "", url)


def pieces(report: Report) -> Iterator[str]:
    """Yield the file of a report, part by part."""
    yield ",".join(COLUMNS) + "\r\n"
    yield from report.parts.values_list("content", flat=True).iterator(chunk_size=1)


def weekly_report(today: date) -> Report:
    """Return the report for the staff on the week before this one, made if there is none."""
    monday = today - timedelta(days=today.weekday()) - WEEK
    report, _made = Report.objects.get_or_create(
        key=f"weekly-{monday}",
        defaults={"since": monday, "until": monday + WEEK - timedelta(days=1)},
    )
    return report


def mail_to_staff(report: Report) -> None:
    """Mail a report to each of the staff; the keys let each of them have it once."""
    content = "".join(pieces(report)).encode()
    attached = len(content) <= settings.EMAIL_MAX_ATTACHMENTS_SIZE
    for user in User.objects.filter(is_staff=True, is_active=True):
        try:
            send_email(
                "weekly_report",
                user.email,
                {"since": report.since, "until": report.until, "attached": attached},
                key=f"report-{report.key}-{user.pk}",
                related=report,
                attachments=[(report.file_name, content, "text/csv")] if attached else [],
            )
        except ValueError as error:  # one address that mail does not take stops no other
            logger.warning("weekly_report_not_mailed", user=user.pk, error=str(error))
