"""Email addresses: validated, in the form of a suppression, and their domains."""

from email.errors import InvalidHeaderDefect, MessageParseError
from email.policy import default
from email.utils import parseaddr
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from durable.text import validate_text

# Python's parser has bugs: it raises some of these for malformed addresses.
PARSER_ERRORS = (AttributeError, IndexError, TypeError, MessageParseError)


def bare_address(recipient: str) -> str:
    """Return `Name <User@Example.com>` as `user@example.com`."""
    return parseaddr(recipient)[1].strip().lower()


def ascii_domain(recipient: str) -> str:
    """Return the domain of `name@bücher.example` as `xn--bcher-kva.example`.

    Raises:
        ValueError: a part of it is too long or empty.
    """
    return bare_address(recipient).rpartition("@")[2].encode("idna").decode()


def validate_address(where: str, address: str) -> str:
    """Return an address without the spaces around it.

    Args:
        where: what the address is, for the error's text: `to`.
        address: with or without a name.

    Raises:
        TypeError: it is no text.
        ValueError: it is no single valid address, or the database cannot hold it.
    """
    if not isinstance(address, str):
        raise TypeError(f"{where}: {type(address).__name__} given: pass one address as a text")
    address = validate_text(where, address).strip()
    if not is_single_address(address):
        raise ValueError(f"{where}: {address!r} is not an email address")
    return address


def is_address(value: Any) -> bool:
    """Return whether a setting is one valid address that can be written into a mail as it is."""
    try:
        return bool(validate_address("", value) == value)
    except (TypeError, ValueError):
        return False


def is_single_address(address: str) -> bool:
    """Return whether a text is one valid address, with or without a name, and nothing else."""
    if {"\r", "\n"} & set(address) or address.endswith((",", ";")):
        return False
    try:
        validate_email(bare_address(address))
        ascii_domain(address)
        header = default.header_factory("To", address)
        ((group,), (mailbox,)) = header.groups, header.addresses
    except (ValidationError, ValueError, *PARSER_ERRORS):
        return False
    return (
        group.display_name is None
        and mailbox.addr_spec.lower() == bare_address(address)
        and not any(isinstance(defect, InvalidHeaderDefect) for defect in header.defects)
    )
