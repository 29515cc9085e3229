import pytest
from django.core.management import CommandError, call_command


@pytest.mark.django_db
def test_without_a_worker_the_command_says_what_to_do():
    with pytest.raises(CommandError, match=r"still queued after 0.1 s. Start a worker"):
        call_command("send_test_email", "ann@example.com", wait=0.1)


@pytest.mark.django_db
def test_an_invalid_address_is_one_line():
    with pytest.raises(CommandError, match="'ann' is not an email address"):
        call_command("send_test_email", "ann")
