import pytest

from durable.mail.addresses import ascii_domain, bare_address, is_single_address


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com",
        "<ann@example.com>",
        "Ann <ann@example.com>",
        "Änn <ann@example.com>",
        '"Acme, Inc." <noreply@example.com>',
        "Dr. A. Smith <ann@example.com>",
        "ann@example.com (Ann)",
        "ann@b\u00fccher.example",
        "ann@localhost",
    ],
)
def test_one_address_is_valid(address):
    assert is_single_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "ann@",
        "@example.com",
        "ann@example..com",
        "Ann ann@example.com",
        "Acme, Inc. <noreply@example.com>",
        "ann@example.com,",
        "ann@example.com;",
        "ann@example.com, bob@example.com",
        "ann@example.com bob@example.com",
        "Ann <ann@example.com> Smith",
        "Ann <ann@example.com",
        "ann@example.com>",
        "Ann: x <ann@example.com>",
        "team: ann@example.com;",
        "ann@example.com\nBcc: bob@example.com",
        "\u00e4nn@example.com",
        "a..b@example.com",
    ],
)
def test_anything_else_is_invalid(address):
    assert not is_single_address(address)


def test_the_bare_address_has_neither_name_nor_capitals():
    assert bare_address('"Smith, Ann" <Ann@Example.COM>') == "ann@example.com"


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("Ann <ann@Example.com>", "example.com"),
        ("ann@b\u00fccher.example", "xn--bcher-kva.example"),
        ("ann@localhost", "localhost"),
    ],
)
def test_the_domain_is_ascii(address, domain):
    assert ascii_domain(address) == domain
