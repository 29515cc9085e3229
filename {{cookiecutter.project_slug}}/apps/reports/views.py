"""The pages of uploads and reports: everybody sees their own, the staff also what is for all of them.

Whoever can sign in may import, and report on all sales.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from typing import cast
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.handlers.asgi import ASGIRequest
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from apps.reports import building, services
from apps.reports.forms import PeriodForm, UploadForm
from apps.reports.models import Job, Report, Upload
from apps.users.decorators import post_after_login
from apps.users.models import User

SHOWN = 20  # of each, the latest ones
WEEK = timedelta(days=7)


@login_required
@require_safe
def jobs(request: HttpRequest) -> HttpResponse:
    """List the latest uploads and reports."""
    latest = {
        "uploads": Upload.objects.visible_to(user_of(request))[:SHOWN],
        "reports": Report.objects.visible_to(user_of(request))[:SHOWN],
    }
    return render(request, "reports/list.html", latest)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_upload(request: HttpRequest) -> HttpResponse:
    """Take a file, and show how its import goes on."""
    if request.method != "POST":
        return show(request, UploadForm(), "Import sales")
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return show(request, form, "Import sales", status=422)
    return redirect(services.import_file(user_of(request), form.cleaned_data["file"]))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_report(request: HttpRequest) -> HttpResponse:
    """Take a period, at first the one that the address names or the last seven days."""
    if request.method != "POST":
        today = timezone.localdate()
        initial = {"since": today - WEEK, "until": today, **request.GET.dict()}
        return show(request, PeriodForm(initial=initial), "Build a report")
    form = PeriodForm(request.POST)
    if not form.is_valid():
        return show(request, form, "Build a report", status=422)
    return redirect(services.order_report(user_of(request), **form.cleaned_data))


def show(request: HttpRequest, form: BaseForm, title: str, status: int = 200) -> HttpResponse:
    """Show a form."""
    context = {"form": form, "title": title}
    return render(request, "reports/form.html", context, status=status)


@login_required
@require_safe
def upload(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show how an import goes on, and what came of it. The page asks for itself while it does."""
    job = get_object_or_404(Upload.objects.visible_to(user_of(request)), pk=pk)
    return render(
        request, "reports/upload.html", {"job": job, "cancel_url": "reports:cancel_upload"}
    )


@login_required
@require_safe
def report(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show how a report goes on, and where its file is; as `upload`."""
    job = get_object_or_404(Report.objects.visible_to(user_of(request)), pk=pk)
    return render(
        request, "reports/report.html", {"job": job, "cancel_url": "reports:cancel_report"}
    )


@post_after_login(lambda model, pk: model(pk=pk).get_absolute_url())
def cancel(request: HttpRequest, model: type[Job], pk: UUID) -> HttpResponse:
    """Stop an import or a report."""
    job = get_object_or_404(model.objects.visible_to(user_of(request)), pk=pk)
    if services.cancel(job):
        messages.success(request, "Canceled.")
    else:
        messages.info(request, "It had ended before.")
    return redirect(job)


@login_required
@require_safe
def download(request: HttpRequest, pk: UUID) -> HttpResponse | StreamingHttpResponse:
    """Send a report's file part by part, as long as it is kept."""
    job = get_object_or_404(Report.objects.visible_to(user_of(request)), pk=pk)
    if not job.is_available:
        messages.warning(request, "The file of this report is gone.")
        return redirect(job)
    pieces = building.pieces(job)
    return StreamingHttpResponse(
        asynchronous(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{job.file_name}"'},
    )


async def asynchronous(pieces: Iterator[str]) -> AsyncIterator[str]:
    """Yield one piece after the other; Django would make a list of them first."""
    take = sync_to_async(partial(next, pieces, None))
    while (piece := await take()) is not None:
        yield piece


def user_of(request: HttpRequest) -> User:
    """Return who has signed in."""
    return cast("User", request.user)
