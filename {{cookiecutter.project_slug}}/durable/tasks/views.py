"""The state of a task as JSON, for a page that waits for it."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from durable.tasks.models import TaskRun
from durable.tasks.progress import get_progress
from durable.tasks.results import COLUMNS, state_of


@require_safe
@never_cache
def state(request: HttpRequest, pk: UUID) -> JsonResponse:
    """Return the state and the progress of a durable task to the user whose request caused it.

    Raises:
        Http404: for all others, as for an id that no task has.
    """
    run = TaskRun.objects.filter(pk=pk).only("user_id", *COLUMNS).first()
    user = request.user
    if run is None or not (user.is_authenticated and run.user_id == str(user.pk)):
        raise Http404
    return JsonResponse({"id": str(pk), "state": state_of(run), "progress": progress_of(pk)})


def progress_of(pk: UUID) -> dict[str, Any] | None:
    """Return the last report of progress; None if there is none, or Redis is away."""
    progress = get_progress(str(pk))
    return asdict(progress) | {"percent": progress.percent} if progress else None
