"""Mails and suppressions in the admin."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.utils import get_app_template_dirs
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST

from durable.admin_helpers import LargeTableAdmin
from durable.mail.api import resend, resend_all
from durable.mail.models import Email, EmailAttachment, EmailEvent, Suppression
from durable.mail.rendering import render

# In the preview, no script runs, no form is sent, and no link opens.
PREVIEW_POLICY = "sandbox; default-src 'none'; img-src data: https:; style-src 'unsafe-inline'"
MAX_EVENTS = 100  # in the timeline; a page with 1,000 has more than a megabyte
MAX_SELECTED = 1_000  # mails for one action: about a second of one transaction
SUBJECT = ".subject.txt"  # one file of each template ends with it


class ReadOnlyInline(admin.TabularInline):
    """Rows that are shown, not edited."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class EventInline(ReadOnlyInline):
    """What happened to the mail last, oldest first."""

    model = EmailEvent
    verbose_name_plural = f"timeline (the latest {MAX_EVENTS} events)"
    fields = readonly_fields = ("happened_at", "kind", "attempt", "detail")

    def get_queryset(self, request: HttpRequest) -> QuerySet[EmailEvent]:
        """Return the latest events of the page's mail."""
        events: QuerySet[EmailEvent] = super().get_queryset(request)
        email = request.resolver_match.kwargs.get("object_id") if request.resolver_match else None
        latest = EmailEvent.objects.filter(email=email).order_by("-happened_at", "-id")
        return events.filter(pk__in=list(latest.values_list("pk", flat=True)[:MAX_EVENTS]))


class AttachmentInline(ReadOnlyInline):
    """The files of the mail."""

    model = EmailAttachment
    fields = ("name", "content_type", "size")
    readonly_fields = ("size",)

    @admin.display(description="size")
    def size(self, attachment: EmailAttachment) -> str:
        return f"{len(attachment.content):,} bytes"


class TemplateFilter(admin.SimpleListFilter):
    """By template. The choices are the files of the apps: a query for those of the mails reads them all."""

    title = parameter_name = "template"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        folders = get_app_template_dirs("templates/mail")
        files = [file.name for folder in folders for file in folder.glob(f"*{SUBJECT}")]
        return [(name, name) for name in sorted({file.removesuffix(SUBJECT) for file in files})]

    def queryset(self, request: HttpRequest, emails: QuerySet[Email]) -> QuerySet[Email]:
        return emails.filter(template=self.value()) if self.value() else emails


@admin.register(Email)
class EmailAdmin(LargeTableAdmin):
    """Mails: you can send one again or cancel it, but edit nothing."""

    list_display = ("to", "template", "colored_status", "attempts", "queued_at", "sent_at")
    list_filter = ("status", TemplateFilter, "queued_at")
    exact_search_fields = ("id", "key", "message_id", "correlation_id")
    search_fields = ("to",)
    ordering = ("-queued_at",)
    actions = ("resend", "cancel")
    inlines = (EventInline, AttachmentInline)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "to",
                    "colored_status",
                    ("queued_at", "sent_at"),
                    ("attempts", "next_attempt_at"),
                    "last_error",
                    "preview",
                )
            },
        ),
        (
            "Message",
            {
                "classes": ("collapse",),
                "fields": ("template", "context", "from_email", "reply_to", "headers"),
            },
        ),
        (
            "Origin",
            {
                "classes": ("collapse",),
                "fields": ("id", "message_id", "key", "related", "resend_of", "correlation_id"),
            },
        ),
    )
    readonly_fields = flatten_fieldsets(fieldsets)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Email | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        """Add the preview and the two buttons."""
        view = self.admin_site.admin_view
        return [
            path("<uuid:pk>/preview/", view(self.preview_view), name="mail_email_preview"),
            path(
                "<uuid:pk>/resend/", view(require_POST(self.resend_view)), name="mail_email_resend"
            ),
            path(
                "<uuid:pk>/cancel/", view(require_POST(self.cancel_view)), name="mail_email_cancel"
            ),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the mail with the buttons that its status allows."""
        email = self.get_object(request, object_id)
        buttons = {
            "may_resend": email and email.status not in Email.UNFINISHED,
            "may_cancel": email and email.status == Email.Status.QUEUED,
            "show_save": False,
            "show_save_and_continue": False,
        }
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **buttons}
        )

    @admin.display(description="status", ordering="status")
    def colored_status(self, email: Email) -> str:
        return format_html(
            '<span class="mail-status mail-{}">{}</span>', email.status, email.get_status_display()
        )

    @admin.display(description="preview")
    def preview(self, email: Email) -> str:
        return format_html(
            '<iframe class="mail-preview" sandbox src="{}" title="What the recipient sees"></iframe>',
            reverse("admin:mail_email_preview", args=[email.pk]),
        )

    def preview_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Show the HTML part, or why it cannot be rendered."""
        email = get_object_or_404(Email, pk=pk)
        if not self.has_view_permission(request, email):
            return HttpResponse(status=403)
        try:
            # In development nothing is delivered, so the links of the preview work.
            content = render(email, hide_secrets=not settings.DEBUG)
            response = HttpResponse(content.html)
        except (TemplateDoesNotExist, TemplateSyntaxError) as error:
            response = HttpResponse(f"This email cannot be rendered: {error!r}", "text/plain")
        response["Content-Security-Policy"] = PREVIEW_POLICY
        return xframe_options_sameorigin(lambda _: response)(request)

    def resend_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Handle the button: queue a copy, and show it."""
        email = get_object_or_404(Email, pk=pk)
        if not self.has_change_permission(request, email):
            return HttpResponse(status=403)
        try:
            email = resend(email)
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, "Resent. This page shows the copy.", messages.SUCCESS)
        return redirect("admin:mail_email_change", email.pk)

    def cancel_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Handle the button: cancel the mail."""
        email = get_object_or_404(Email, pk=pk)
        if not self.has_change_permission(request, email):
            return HttpResponse(status=403)
        if email.cancel():
            self.message_user(request, "Canceled before it was sent.", messages.SUCCESS)
        else:
            self.message_user(request, "Not canceled: it has left the queue.", messages.ERROR)
        return redirect("admin:mail_email_change", email.pk)

    @admin.action(description="Resend", permissions=["change"])
    def resend(self, request: HttpRequest, chosen: QuerySet[Email]) -> None:
        """Queue copies of the selected mails that are finished."""
        if count := self.count_or_refuse(request, chosen):
            copies = resend_all(chosen)
            self.message_user(
                request, f"{len(copies)} of {count} resent; the others are not finished."
            )

    @admin.action(description="Cancel", permissions=["change"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[Email]) -> None:
        """Cancel the selected mails that are queued."""
        if count := self.count_or_refuse(request, chosen):
            canceled = Email.objects.filter(pk__in=chosen.values("pk")).cancel()
            self.message_user(
                request, f"{canceled} of {count} canceled; the others have left the queue."
            )

    def count_or_refuse(self, request: HttpRequest, chosen: QuerySet[Email]) -> int:
        """Return how many mails are selected, or 0 with a message if they are too many."""
        count = chosen.order_by()[: MAX_SELECTED + 1].count()
        if count <= MAX_SELECTED:
            return count
        refusal = f"Nothing changed: select at most {MAX_SELECTED:,} emails, with a filter or page by page."
        self.message_user(request, refusal, messages.ERROR)
        return 0

    class Media:
        css = {"all": ["mail/admin.css"]}


@admin.register(Suppression)
class SuppressionAdmin(admin.ModelAdmin):
    """Addresses that get no mail. After you delete one, it gets mail again."""

    list_display = ("address", "reason", "created_at", "detail")
    list_filter = ("reason", "created_at")
    search_fields = ("address",)
