"""URLs of the console."""

from django.urls import path

from durable.console import schedule, views, work, workers
from durable.console.kinds import EMAILS, TASKS

app_name = "console"
urlpatterns = [
    path("", views.index, name="overview"),
    path("content/", views.content, name="overview_content"),
    path("workers/", workers.index, name="workers"),
    path("workers/stop/", workers.stop, name="stop"),
    path("periodic/", schedule.index, name="periodic"),
    path("periodic/<int:pk>/<slug:action>/", schedule.act, name="periodic_action"),
    path("tasks/<uuid:pk>/move/", work.move, name="move"),
    path("queues/<str:queue>/", workers.queue, name="queue"),
    path("queues/<str:queue>/pause/", views.pause, name="pause"),
    path("queues/<str:queue>/resume/", views.resume, name="resume"),
    path("jobs/<uuid:pk>/", work.job, name="job"),
    path("audit/", views.audit, name="audit"),
]
for kind in (TASKS, EMAILS):
    of = {"kind": kind}
    urlpatterns += [
        path(f"{kind.plural}/", work.index, of, name=kind.plural),
        path(f"{kind.plural}/bulk/", work.bulk, of, name=f"{kind.plural}_bulk"),
        path(f"{kind.plural}/<uuid:pk>/", work.detail, of, name=kind.name),
        path(f"{kind.plural}/<uuid:pk>/<slug:action>/", work.act, of, name=f"{kind.name}_action"),
    ]
urlpatterns.append(path("<path:rest>/", views.missing))
