"""Scaleway's wire format: https://www.scaleway.com/en/developers/api/transactional-email."""

import json
from collections.abc import Callable
from typing import Any

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider

KEY = "1f3c9a52-7d0e-4b68-9c41-d2a86f0b7e35"
PROJECT = "8f512135-9f5f-42b3-a900-9fdf0195b563"
MESSAGE_ID = "655c27f2-b2a3-4a9f-8e1f-3e6dc268b1c4"
PATH = "transactional-email/v1alpha1/regions"


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", f"/{PATH}/fr-par/emails")
    assert request.headers["X-Auth-Token"] == KEY
    sent = json.loads(request.data)
    assert sent["project_id"] == PROJECT
    return Mail(
        to=sent["to"][0]["email"], subject=sent["subject"], text=sent["text"], html=sent["html"]
    )


def accept() -> Response:
    return created("new", "not yet processed")()


def created(status: str, details: str) -> Callable[[], Response]:
    return lambda: answer(
        200,
        emails=[
            {
                "id": MESSAGE_ID,
                "message_id": "3d928e21-187a-4539-b303-403156e37911",
                "project_id": PROJECT,
                "mail_from": "noreply@example.com",
                "mail_rcpt": RECIPIENT,
                "rcpt_to": RECIPIENT,
                "rcpt_type": "to",
                "subject": "A test",
                "created_at": "2026-03-01T10:00:00.758671147Z",
                "updated_at": "2026-03-01T10:00:00.758671147Z",
                "status": status,
                "status_details": details,
                "try_count": 0,
                "last_tries": [],
                "flags": [],
            }
        ],
    )


def refuse() -> Response:
    return answer(
        400,
        type="invalid_arguments",
        message="invalid argument(s)",
        details=[
            {
                "argument_name": "from.email",
                "reason": "constraint",
                "help_message": "Invalid email from address",
            }
        ],
    )


def answer(status: int, **content: Any) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


PROVIDER = Provider(
    backend="durable.mail.providers.scaleway.ScalewayBackend",
    webhook=None,
    environment={"SCALEWAY_SECRET_KEY": KEY, "SCALEWAY_PROJECT_ID": PROJECT},
    anymail={
        "SCALEWAY_SECRET_KEY": KEY,
        "SCALEWAY_PROJECT_ID": PROJECT,
        "SCALEWAY_REGION": "fr-par",
    },
    local=lambda url, seconds: {
        "SCALEWAY_API_URL": f"{url}{PATH}/{{region}}/",
        "REQUESTS_TIMEOUT": seconds,
    },
    read=read,
    accept=accept,
    message_id=lambda _mail: MESSAGE_ID,
    refuse=refuse,
    temporary={
        "a quota that is used up": lambda: answer(
            403, type="quotas_exceeded", message="quota(s) exceeded for this resource"
        )
    },
    rejects={
        "a failed mail with status 200": created("failed", "blocklisted"),
        "a canceled mail with status 200": created("canceled", "canceled"),
    },
)
