import pytest
from django.core.management import CommandError, call_command


@pytest.mark.django_db
def test_without_a_worker_the_command_says_what_to_start():
    with pytest.raises(CommandError, match=r"still queued after 0.1 s: no worker took it"):
        call_command("send_test_email", "ann@example.com", wait=0.1)


@pytest.mark.django_db
def test_a_wrong_address_is_one_line():
    with pytest.raises(CommandError, match="'ann' is not an email address"):
        call_command("send_test_email", "ann")
