"""Imports the sales of an upload in batches.

A batch is one transaction: the sales of some lines, and the new position of the upload. After an
interruption, the next run continues at that position.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import cast

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F

from apps.notifications.services import notify
from apps.reports.models import Sale, Upload
from apps.reports.progress import report_progress
from apps.reports.records import Record, Records, TooManyQuotesError, open_records
from durable.api import clean_text

BATCH_SIZE = 1_000  # lines; a transaction of about 0.1 s
MAX_BAD_LINES = 1_000  # listed; more of them probably mean that the whole file is wrong
MAX_REASON_LENGTH = 300  # characters; it may quote the line
PROGRESS_INTERVAL = 0.3  # seconds between two reports of progress
COLUMNS = ("external_id", "sold_on", "product", "quantity", "amount")
FIELDS = {name: cast("models.Field", Sale._meta.get_field(name)) for name in COLUMNS}


class BadLineError(ValueError):
    """A line is not a valid sale. The text gives the reason."""


@dataclass
class Batch:
    """The content of some lines."""

    sales: list[Sale] = field(default_factory=list)
    bad_lines: list[tuple[int, str]] = field(default_factory=list)


def run(upload_id: str) -> None:
    """Import the rest of an upload, until it has ended or another run has taken over."""
    upload = Upload.objects.start(upload_id)
    if upload is None:
        return
    header, records = open_records(upload)
    columns = [cell.strip().lower() for cell in header.cells]
    if error := header_error(header, columns):
        finish(upload, Upload.State.FAILED, error)
        return
    try:
        if import_batches(upload, records, columns):
            finish(upload, Upload.State.DONE)
    except TooManyQuotesError as problem:
        finish(upload, Upload.State.FAILED, str(problem))


def import_batches(upload: Upload, records: Records, columns: Sequence[str]) -> bool:
    """Import the records; return False if the upload was canceled or another run has taken over.

    Raises:
        TooManyQuotesError: the file is unreadable; earlier batches are saved.
    """
    reported = 0.0
    while lines := list(islice(records, BATCH_SIZE)):
        if not save_batch(upload, parse(lines, columns, upload), records):
            return False
        if time.monotonic() - reported > PROGRESS_INTERVAL:
            report_progress(upload, f"{upload.lines:,} lines")
            reported = time.monotonic()
    return True


def header_error(header: Record, columns: Sequence[str]) -> str:
    """Return why the first line is invalid, or an empty text."""
    if header.error:
        return f"The first line, which must contain the columns, {header.error}."
    if missing := ", ".join(name for name in COLUMNS if name not in columns):
        return (
            f"Missing columns: {missing}. The first line must contain {', '.join(COLUMNS)}, "
            "in any order, separated by commas."
        )
    if duplicates := ", ".join(name for name in COLUMNS if columns.count(name) > 1):
        return f"Duplicate columns: {duplicates}."
    return ""


def parse(lines: Sequence[Record], columns: Sequence[str], upload: Upload) -> Batch:
    """Parse records into sales and bad lines; skip empty ones."""
    batch = Batch()
    for record in lines:
        try:
            if record.cells or record.error:
                batch.sales.append(parse_sale(record, columns, upload))
        except BadLineError as error:
            batch.bad_lines.append((record.line, clean_text(str(error))[:MAX_REASON_LENGTH]))
    return batch


def parse_sale(record: Record, columns: Sequence[str], upload: Upload) -> Sale:
    """Return an unsaved sale.

    Raises:
        BadLineError: the record is not a valid sale.
    """
    if record.error:
        raise BadLineError(record.error)
    if len(record.cells) != len(columns):
        raise BadLineError(f"expected {len(columns)} cells, found {len(record.cells)}")
    row = dict(zip(columns, record.cells, strict=True))
    return Sale(source=upload.pk, **{name: parse_cell(name, row[name]) for name in COLUMNS})


def parse_cell(name: str, cell: str) -> object:
    """Return the value of a cell, validated by its field; see `parse_sale`."""
    try:
        return FIELDS[name].clean(cell.strip(), None)
    except ValidationError as error:
        raise BadLineError(f"{name}: {' '.join(error.messages)}") from error


def save_batch(upload: Upload, batch: Batch, records: Records) -> bool:
    """Save a batch and the new position of its upload.

    Returns:
        False if nothing was saved, since the upload was canceled or another run has taken over.
    """
    with transaction.atomic():
        imported = insert_new(batch.sales, upload)
        bad_lines = [*upload.bad_lines, *batch.bad_lines][:MAX_BAD_LINES]
        # The position is a lock: of two runs at the same position, only one can update it.
        current = Upload.objects.filter(
            pk=upload.pk, state=Upload.State.RUNNING, position=upload.position
        )
        if not current.update(
            position=records.position,
            lines=records.lines,
            imported=F("imported") + imported,
            skipped=F("skipped") + len(batch.sales) - imported,
            bad=F("bad") + len(batch.bad_lines),
            bad_lines=bad_lines,
        ):
            transaction.set_rollback(True)
            return False
    upload.position, upload.lines = records.position, records.lines
    upload.bad_lines = bad_lines
    return True


def insert_new(sales: Sequence[Sale], upload: Upload) -> int:
    """Insert sales with unknown ids; return how many."""
    with_ids = Sale.objects.filter(external_id__in={sale.external_id for sale in sales})
    known = set(with_ids.values_list("external_id", flat=True))
    new = [sale for sale in sales if sale.external_id not in known]
    # Another upload may insert the same sale at the same time.
    Sale.objects.bulk_create(new, ignore_conflicts=True)
    return with_ids.filter(source=upload.pk).exclude(external_id__in=known).count()


def finish(upload: Upload, state: str, error: str = "") -> None:
    """End an upload at the position of this run, and notify its user once."""
    current = Upload.objects.filter(pk=upload.pk, position=upload.position)
    with transaction.atomic():
        if not current.finish(state, error):
            return
        upload.refresh_from_db()
        upload.delete_content()
        notify(
            upload.user,
            "reports",
            f"{upload.name} was not imported" if error else f"{upload.name} is imported",
            error
            or f"{upload.imported:,} new, {upload.skipped:,} known, {upload.bad:,} bad lines.",
            upload.get_absolute_url(),
        )
    report_progress(upload, upload.state)
