"""Email providers, one file each: Anymail's backend and webhook view, and what they need beyond it.

Settings name the classes by path: EMAIL_BACKEND, and EMAIL_WEBHOOK if the provider sends reports. For
a provider that Anymail supports and that needs no file here, they name Anymail's classes.

To add your own provider, write one file. Anymail's documentation describes a backend and a webhook
view. Here they may have more:

- the backend: mixins of `base`, where the provider's responses are misleading;
- the view: `is_hard_bounce(event) -> bool`, a static method, where Anymail's `reject_reason` cannot
  tell whether the address is bad for good;
- the view: `reports_first_recipient = True`, where a report names the first recipient of a mail,
  even if another one bounced.
"""
