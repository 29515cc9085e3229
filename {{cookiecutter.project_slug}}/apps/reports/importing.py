"""Brings an upload into the table of sales, in steps that are all or nothing.

A step is one transaction: the sales of some lines, and how far the upload is. Whoever goes on with
it, after whatever has happened, begins where the last step ended.
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
from apps.reports.records import Record, Records, read
from apps.reports.telling import tell
from durable.api import clean_text

LINES_AT_ONCE = 1_000  # lines; a transaction of about 0.1 s, and what a kill makes undone
MOST_BAD_LINES = 1_000  # lines that are listed; with more, something else is wrong than lines
LONGEST_REASON = 300  # characters; it may quote what the line holds
TELL_EVERY = 0.3  # seconds; nobody reads faster
COLUMNS = ("external_id", "sold_on", "product", "quantity", "amount")
FIELDS = {name: cast("models.Field", Sale._meta.get_field(name)) for name in COLUMNS}


class BadLineError(ValueError):
    """A line that is no sale, and why."""


@dataclass
class Step:
    """What some lines hold."""

    sales: list[Sale] = field(default_factory=list)
    bad_lines: list[tuple[int, str]] = field(default_factory=list)


def run(upload_id: str) -> None:
    """Import what is left of an upload, unless it has ended or somebody else goes on with it."""
    upload = Upload.objects.begin(upload_id)
    if upload is None:
        return
    header, records = read(upload)
    columns = [cell.strip().lower() for cell in header.cells]
    if problem := what_is_wrong(header, columns):
        end(upload, Upload.State.FAILED, problem)
        return
    told = 0.0
    while taken := list(islice(records, LINES_AT_ONCE)):
        if not save(upload, understand(taken, columns, upload), records):
            return
        if time.monotonic() - told > TELL_EVERY:
            tell(upload, f"{upload.lines:,} lines")
            told = time.monotonic()
    end(upload, Upload.State.DONE)


def what_is_wrong(header: Record, columns: Sequence[str]) -> str:
    """Say why no line of the file can be understood, or nothing."""
    if header.error:
        return f"The first line, which has to name the columns, {header.error}."
    if missing := ", ".join(name for name in COLUMNS if name not in columns):
        return (
            f"Columns that are missing: {missing}. The first line has to name "
            f"{', '.join(COLUMNS)}, in any order, separated by commas."
        )
    if twice := ", ".join(name for name in COLUMNS if columns.count(name) > 1):
        return f"Columns that are named twice: {twice}."
    return ""


def understand(taken: Sequence[Record], columns: Sequence[str], upload: Upload) -> Step:
    """Sort records into sales and bad lines; empty ones are neither."""
    step = Step()
    for record in taken:
        try:
            if record.cells or record.error:
                step.sales.append(sale_of(record, columns, upload))
        except BadLineError as error:
            step.bad_lines.append((record.line, clean_text(str(error))[:LONGEST_REASON]))
    return step


def sale_of(record: Record, columns: Sequence[str], upload: Upload) -> Sale:
    """Return what a record says, not saved yet.

    Raises:
        BadLineError: it says nothing that the table can hold.
    """
    if record.error:
        raise BadLineError(record.error)
    if len(record.cells) != len(columns):
        raise BadLineError(f"cells: {len(record.cells)}, in the first line: {len(columns)}")
    row = dict(zip(columns, record.cells, strict=True))
    return Sale(source=upload.pk, **{name: cleaned(name, row[name]) for name in COLUMNS})


def cleaned(name: str, cell: str) -> object:
    """Return the value of a cell, by the rules of its field; see `sale_of`."""
    try:
        return FIELDS[name].clean(cell.strip(), None)
    except ValidationError as error:
        raise BadLineError(f"{name}: {' '.join(error.messages)}") from error


def save(upload: Upload, step: Step, records: Records) -> bool:
    """Save a step and how far the upload is, both or none.

    Returns:
        False, with nothing saved, if it was canceled or somebody else has gone on with it.
    """
    with transaction.atomic():
        imported = insert(step.sales, upload)
        bad_lines = [*upload.bad_lines, *step.bad_lines][:MOST_BAD_LINES]
        # Where it stands is a token: of two workers that went on from one place, one goes further.
        held = Upload.objects.filter(
            pk=upload.pk, state=Upload.State.RUNNING, position=upload.position
        )
        if not held.update(
            position=records.position,
            lines=records.lines,
            imported=F("imported") + imported,
            skipped=F("skipped") + len(step.sales) - imported,
            bad=F("bad") + len(step.bad_lines),
            bad_lines=bad_lines,
        ):
            transaction.set_rollback(True)
            return False
    upload.position, upload.lines = records.position, records.lines
    upload.bad_lines = bad_lines
    return True


def insert(sales: Sequence[Sale], upload: Upload) -> int:
    """Insert those that are not known yet; return how many these were."""
    with_ids = Sale.objects.filter(external_id__in={sale.external_id for sale in sales})
    known = set(with_ids.values_list("external_id", flat=True))
    new = [sale for sale in sales if sale.external_id not in known]
    # Another upload may bring the same sale at the same time.
    Sale.objects.bulk_create(new, ignore_conflicts=True)
    return with_ids.filter(source=upload.pk).exclude(external_id__in=known).count()


def end(upload: Upload, state: str, error: str = "") -> None:
    """Let an upload end that is where this run has brought it, and tell its user once."""
    held = Upload.objects.filter(pk=upload.pk, position=upload.position)
    with transaction.atomic():
        if not held.end(state, error):
            return
        upload.refresh_from_db()
        upload.drop_pieces()
        notify(
            upload.user,
            "reports",
            f"{upload.name} is imported" if not error else f"{upload.name} was not imported",
            error or f"{upload.imported:,} new, {upload.skipped:,} known, {upload.bad:,} bad.",
            upload.get_absolute_url(),
        )
    tell(upload, upload.state)
