"""Pages of imports and reports. Users see their own; staff also see those for all staff.

All users can import sales, and build reports on all sales.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.handlers.asgi import ASGIRequest
from django.forms import BaseForm
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from apps.reports import builder, services
from apps.reports.forms import PeriodForm, UploadForm
from apps.reports.models import Job, Report, Upload
from apps.users.decorators import UserRequest, post_after_login
from apps.users.rate_limits import within_rate_limit

MAX_SHOWN = 20  # of each, the latest ones
WEEK = timedelta(days=7)
# Of one user. All users share the workers of the queue for reports.
MAX_UPLOADS_PER_HOUR = 20
MAX_REPORTS_PER_HOUR = 60


@login_required
@require_safe
def jobs(request: UserRequest) -> HttpResponse:
    """List the latest uploads and reports."""
    context = {
        "uploads": Upload.objects.visible_to(request.user)[:MAX_SHOWN],
        "reports": Report.objects.visible_to(request.user)[:MAX_SHOWN],
    }
    return render(request, "reports/list.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_upload(request: UserRequest) -> HttpResponse:
    """Upload a file, and redirect to the page of its import."""
    if request.method != "POST":
        return show_form(request, UploadForm(), "Import sales")
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return show_form(request, form, "Import sales", status=422)
    if not within_rate_limit("uploads", request.user.pk, MAX_UPLOADS_PER_HOUR):
        form.add_error(
            None, f"The limit is {MAX_UPLOADS_PER_HOUR} imports per hour. Try again later."
        )
        return show_form(request, form, "Import sales", status=429)
    return redirect(services.import_file(request.user, form.cleaned_data["file"]))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_report(request: UserRequest) -> HttpResponse:
    """Choose a period, by default the one in the URL or the last seven days."""
    if request.method != "POST":
        today = timezone.localdate()
        initial = {"since": today - WEEK, "until": today, **request.GET.dict()}
        return show_form(request, PeriodForm(initial=initial), "Build a report")
    form = PeriodForm(request.POST)
    if not form.is_valid():
        return show_form(request, form, "Build a report", status=422)
    if not within_rate_limit("reports", request.user.pk, MAX_REPORTS_PER_HOUR):
        form.add_error(
            None, f"The limit is {MAX_REPORTS_PER_HOUR} reports per hour. Try again later."
        )
        return show_form(request, form, "Build a report", status=429)
    return redirect(services.request_report(request.user, **form.cleaned_data))


def show_form(request: UserRequest, form: BaseForm, title: str, status: int = 200) -> HttpResponse:
    context = {"form": form, "title": title}
    return render(request, "reports/form.html", context, status=status)


@login_required
@require_safe
def upload(request: UserRequest, pk: UUID) -> HttpResponse:
    """Show an import. The page polls while it is active."""
    job = get_object_or_404(Upload.objects.visible_to(request.user), pk=pk)
    context = {"job": job, "cancel_url": "reports:cancel_upload"}
    return render(request, "reports/upload.html", context)


@login_required
@require_safe
def report(request: UserRequest, pk: UUID) -> HttpResponse:
    """Show a report. The page polls while it is active."""
    job = get_object_or_404(Report.objects.visible_to(request.user), pk=pk)
    context = {"job": job, "cancel_url": "reports:cancel_report"}
    return render(request, "reports/report.html", context)


@post_after_login(lambda model, pk: model(pk=pk).get_absolute_url())
def cancel(request: UserRequest, model: type[Job], pk: UUID) -> HttpResponse:
    """Cancel an import or a report."""
    job = get_object_or_404(model.objects.visible_to(request.user), pk=pk)
    if services.cancel(job):
        messages.success(request, "Canceled.")
    else:
        messages.info(request, "This job has already ended.")
    return redirect(job)


@login_required
@require_safe
def download(request: UserRequest, pk: UUID) -> HttpResponse | StreamingHttpResponse:
    """Stream the file of a report until it expires."""
    job = get_object_or_404(Report.objects.visible_to(request.user), pk=pk)
    if not job.is_available:
        messages.warning(request, "The file of this report has expired.")
        return redirect(job)
    parts = builder.file_parts(job)
    return StreamingHttpResponse(
        iterate_async(parts) if isinstance(request, ASGIRequest) else parts,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{job.file_name}"'},
    )


async def iterate_async(parts: Iterator[str]) -> AsyncIterator[str]:
    """Yield one part after the other; Django would load all of them first."""
    read = sync_to_async(partial(next, parts, None))
    while (part := await read()) is not None:
        yield part
