import pytest

from durable.mail.checks import check_default_sender


@pytest.mark.parametrize(
    ("sender", "ids"),
    [
        ("noreply@example.com", []),
        ('"Acme, Inc." <noreply@example.com>', []),
        ("Acme, Inc. <noreply@example.com>", ["mail.E001"]),
        *(
            (odd, ["mail.E001"])
            for odd in ("", None, "Jos\udce9 <noreply@example.com>", "a\x00 <b@c.example>")
        ),
    ],
)
def test_the_default_sender_must_be_one_address(settings, sender, ids):
    settings.DEFAULT_FROM_EMAIL = sender

    assert [error.id for error in check_default_sender()] == ids
