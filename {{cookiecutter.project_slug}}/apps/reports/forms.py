"""What to import, and what to report on."""

from datetime import timedelta

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat

from apps.reports.importing import COLUMNS
from apps.reports.models import Report

# Bytes, about a million lines. All of it passes through a web process and lies in the database until
# it is imported; what is larger belongs into an object storage, with its key in the row.
LARGEST_FILE = 50 * 1024 * 1024
LONGEST_PERIOD = timedelta(days=366)  # a leap year; 53 parts


class UploadForm(forms.Form):
    """A file of sales."""

    file = forms.FileField(
        label="CSV file",
        help_text=(
            f"UTF-8, at most {filesizeformat(LARGEST_FILE)}. The first line names the columns "
            f"{', '.join(COLUMNS)}, in any order, separated by commas."
        ),
        widget=forms.FileInput({"accept": ".csv,text/csv"}),
        max_length=255,
    )

    def clean_file(self) -> UploadedFile:
        """Refuse what is too large, and say what to do."""
        file: UploadedFile = self.cleaned_data["file"]
        if file.size and file.size > LARGEST_FILE:
            raise forms.ValidationError(
                f"The file has {filesizeformat(file.size)}, and {filesizeformat(LARGEST_FILE)} are "
                "taken: cut it into several, each with the first line."
            )
        return file


class PeriodForm(forms.ModelForm):
    """The days of a report."""

    class Meta:
        model = Report
        fields = ("since", "until")
        widgets = {
            "since": forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
            "until": forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
        }

    def clean(self) -> None:
        """Refuse a period that ends before it begins, and one that is too long."""
        super().clean()
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and until < since:
            self.add_error("until", "The last day is before the first one.")
        elif since and until and until - since >= LONGEST_PERIOD:
            self.add_error("until", f"A report holds {LONGEST_PERIOD.days} days at the most.")
