"""Email providers, one file each: Anymail's backend and webhook view, and what they need beyond it.

Settings name the classes by path: EMAIL_BACKEND, and EMAIL_WEBHOOK if the provider sends reports. For
a provider that Anymail supports and that needs no file here, they name Anymail's classes.

To add your own provider, write one file in `apps/` with a backend and a webhook view, as Anymail's
documentation describes them. They may define more than Anymail expects:

- the backend raises `AnymailAPIError` without a response for an error that is temporary or the
  account's: the mail waits. See `base` for what the providers here do;
- the view inherits `UnreadableReportIsRefused` of `webhooks`, and so responds 400 instead of 500 to
  what it cannot read;
- the view has a static method `is_hard_bounce(event) -> bool`, if Anymail's `reject_reason` is the
  same for an address that is bad for good and for one that is not;
- the view has `reports_first_recipient = True`, if a report names the first recipient of a mail even
  if another one bounced.
"""
