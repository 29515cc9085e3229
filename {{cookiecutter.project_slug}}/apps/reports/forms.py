"""Forms for imports and reports."""

from datetime import timedelta

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat

from apps.reports.importer import COLUMNS
from apps.reports.models import Report

# Bytes, about a million lines. The whole file passes through a web process and stays in the database
# until it is imported. Put larger files into an object storage and their keys into rows.
MAX_FILE_SIZE = 50 * 1024 * 1024
MAX_LINES = 1_000_000  # a worker imports them within minutes
MAX_EMPTY_LINES = 10_000  # more of them are no file of sales
MAX_PERIOD = timedelta(days=366)  # a leap year; 53 parts


class UploadForm(forms.Form):
    """A file of sales."""

    file = forms.FileField(
        label="CSV file",
        help_text=(
            f"UTF-8, at most {filesizeformat(MAX_FILE_SIZE)} and {MAX_LINES:,} lines. The first line contains the columns "
            f"{', '.join(COLUMNS)}, in any order, separated by commas."
        ),
        widget=forms.FileInput({"accept": ".csv,text/csv"}),
        max_length=255,
    )

    def clean_file(self) -> UploadedFile:
        """Reject files that are too large, have too many lines, or too many empty ones."""
        file: UploadedFile = self.cleaned_data["file"]
        if file.size and file.size > MAX_FILE_SIZE:
            raise forms.ValidationError(
                f"The file is {filesizeformat(file.size)}; the limit is "
                f"{filesizeformat(MAX_FILE_SIZE)}. Split it, and repeat the first line in each file."
            )
        validate_lines(file)
        return file


def validate_lines(file: UploadedFile) -> None:
    """Reject files with too many lines, or too many empty ones; rewind the file.

    Without these limits, a file of line breaks would keep a worker busy for many minutes.
    """
    lines = empty = 0
    end = b""
    for piece in file.chunks():
        *complete, end = (end + piece).split(b"\n")
        lines += len(complete)
        empty += complete.count(b"") + complete.count(b"\r")
        end = end[:2]  # enough to see whether the line is empty
        if empty > MAX_EMPTY_LINES:
            raise forms.ValidationError(
                f"The file has more than {MAX_EMPTY_LINES:,} empty lines. Remove them."
            )
        if lines > MAX_LINES:
            raise forms.ValidationError(
                f"The file has more than {MAX_LINES:,} lines. "
                "Split it, and repeat the first line in each file."
            )
    file.seek(0)


class PeriodForm(forms.ModelForm):
    """The period of a report."""

    class Meta:
        model = Report
        fields = ("since", "until")
        widgets = {
            "since": forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
            "until": forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
        }

    def clean(self) -> None:
        """Reject a period that ends before it starts, or is too long."""
        super().clean()
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and until < since:
            self.add_error("until", "The last day is before the first day.")
        elif since and until and until - since >= MAX_PERIOD:
            self.add_error("until", f"A report can include at most {MAX_PERIOD.days} days.")
