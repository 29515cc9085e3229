"""Builds a report from parts. Each part is a row, so a restart only builds the missing ones."""

import csv
import io
import unicodedata
from collections.abc import Iterator
from datetime import date, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Sum
from django.db.models.functions import Now
from django.utils.formats import date_format

from apps.notifications.services import notify
from apps.reports.models import Report, ReportPart, Sale
from apps.reports.progress import report_progress
from apps.users.models import User
from durable.api import send_email

logger = structlog.get_logger(__name__)

DAYS_PER_PART = 7
AVAILABLE_FOR = timedelta(hours=1)  # building it again is quick, and includes new sales
WEEK = timedelta(days=7)
COLUMNS = ("sold_on", "product", "sales", "quantity", "amount")
# Spreadsheets treat cells that start with these as formulas (OWASP, "CSV injection").
FORMULA = ("=", "+", "-", "@", "\N{MINUS SIGN}")
CONTROL = ("\t", "\r", "\n")
MISSING_PARTS = ReportPart.objects.filter(report=OuterRef("pk"), finished_at=None)


def start(report_id: str) -> Report | None:
    """Return the report with a row for each part, or None if it has ended."""
    with transaction.atomic():
        report = Report.objects.start(report_id)
        if report is not None:
            ReportPart.objects.bulk_create(split(report), ignore_conflicts=True)
    return report


def split(report: Report) -> Iterator[ReportPart]:
    """Split the period of a report into parts; the last one may be shorter."""
    days = (report.until - report.since).days + 1
    for number, first in enumerate(range(0, days, DAYS_PER_PART)):
        # Never a day after the last one: date.max has none.
        last = min(first + DAYS_PER_PART, days) - 1
        since, until = (report.since + timedelta(days=day) for day in (first, last))
        yield ReportPart(report=report, number=number, since=since, until=until)


def build_part(part_id: int) -> None:
    """Build a part, unless it is finished or the report has ended."""
    unfinished = ReportPart.objects.filter(
        pk=part_id, finished_at=None, report__state=Report.State.RUNNING
    )
    part = unfinished.select_related("report").first()
    if part is None:
        return
    content, rows = sales_as_csv(part.since, part.until)
    if unfinished.update(content=content, rows=rows, finished_at=Now()):
        report_progress(part.report, f"up to {date_format(part.until)}")


def sales_as_csv(since: date, until: date) -> tuple[str, int]:
    """Return the lines of a period, and their number."""
    sales = (
        Sale.objects.filter(sold_on__range=(since, until))
        .values_list("sold_on", "product")
        .annotate(Count("pk"), Sum("quantity"), Sum("amount"))
        .order_by("sold_on", "product")
    )
    file, rows = io.StringIO(), 0
    writer = csv.writer(file)
    for sold_on, product, number, quantity, amount in sales.iterator():
        writer.writerow([sold_on, escape_formula(product), number, quantity, f"{amount:.2f}"])
        rows += 1
    return file.getvalue(), rows


def escape_formula(text: str) -> str:
    """Return a cell that a spreadsheet shows as text.

    Spreadsheets also read full-width and small signs, which NFKC replaces by the common ones, and
    skip spaces and invisible characters before a sign.
    """
    visible = (char for char in unicodedata.normalize("NFKC", text) if char.isprintable())
    is_formula = "".join(visible).lstrip().startswith(FORMULA) or text.startswith(CONTROL)
    return f"'{text}" if is_formula else text


def finish(report_id: str) -> bool:
    """Finish and deliver a report if it has all parts; return whether this call has done so."""
    complete = Report.objects.filter(
        ~Exists(MISSING_PARTS), pk=report_id, state=Report.State.RUNNING
    )
    with transaction.atomic():
        if not complete.update(
            state=Report.State.DONE, finished_at=Now(), expires_at=Now() + AVAILABLE_FOR
        ):
            return False
        report = Report.objects.select_related("user").get(pk=report_id)
        deliver(report)
    report_progress(report, report.state)
    return True


def deliver(report: Report) -> None:
    """Notify the user of a report, or email it to the staff if it has none."""
    if report.user is None:
        email_to_staff(report)
    else:
        notify(
            report.user, "reports", f"Your report is ready: {report}", "", report.get_absolute_url()
        )


def file_parts(report: Report) -> Iterator[str]:
    """Yield the CSV file of a report, part by part."""
    yield ",".join(COLUMNS) + "\r\n"
    yield from report.parts.values_list("content", flat=True).iterator(chunk_size=1)


def weekly_report(today: date) -> Report:
    """Return the staff's report on last week, created if it does not exist."""
    monday = today - timedelta(days=today.weekday()) - WEEK
    report, _created = Report.objects.get_or_create(
        key=f"weekly-{monday}",
        defaults={"since": monday, "until": monday + WEEK - timedelta(days=1)},
    )
    return report


def email_to_staff(report: Report) -> None:
    """Queue an email with the report to each of the staff. The keys make a second call harmless."""
    content = "".join(file_parts(report)).encode()
    attached = len(content) <= settings.EMAIL_MAX_ATTACHMENTS_SIZE
    context = {"period": str(report), "since": report.since, "until": report.until}
    for user in User.objects.filter(is_staff=True, is_active=True):
        try:
            send_email(
                "weekly_report",
                user.email,
                {**context, "attached": attached},
                key=f"report-{report.key}-{user.pk}",
                related=report,
                attachments=[(report.file_name, content, "text/csv")] if attached else [],
            )
        except ValueError as error:  # an invalid address must not stop the others
            logger.warning("weekly_report_skipped", user=user.pk, error=str(error))
