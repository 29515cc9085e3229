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
MAX_PERIOD = timedelta(days=366)  # a leap year; 53 parts


class UploadForm(forms.Form):
    """A file of sales."""

    file = forms.FileField(
        label="CSV file",
        help_text=(
            f"UTF-8, at most {filesizeformat(MAX_FILE_SIZE)}. The first line contains the columns "
            f"{', '.join(COLUMNS)}, in any order, separated by commas."
        ),
        widget=forms.FileInput({"accept": ".csv,text/csv"}),
        max_length=255,
    )

    def clean_file(self) -> UploadedFile:
        """Reject files that are too large."""
        file: UploadedFile = self.cleaned_data["file"]
        if file.size and file.size > MAX_FILE_SIZE:
            raise forms.ValidationError(
                f"The file has {filesizeformat(file.size)}; the limit is "
                f"{filesizeformat(MAX_FILE_SIZE)}. Split it, and repeat the first line in each file."
            )
        return file


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
