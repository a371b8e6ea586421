"""Passwords and keys, kept out of every message, log and run: those in addresses, and those in the environment."""

import os
import re
from urllib.parse import unquote

MASK = "***"
SHORTEST = 4
"""Characters of a secret that is masked wherever it stands; a shorter one would take common words apart."""

_SECRET_NAMES = re.compile(r"(^|_)(PASSWORD|PASSWD|TOKEN|SECRET|APIKEY|KEYS?)$", re.IGNORECASE)
_LOGIN = re.compile(r"://([^:/@\s]*:(.+))@")
_PATTERNS = (
    # A user after the scheme, with or without a password; pathlib makes one slash of two.
    (re.compile(r"(://|https?:/)[^/\s]+@"), rf"\1{MASK}@"),
    # user:password@ without a scheme, or with a slash in the password.
    (re.compile(r"(?<![^\s/'\"(<=])[^\s/:@'\"]*:[^\s/@'\"][^\s@]*@"), f"{MASK}@"),
    # An address's query as a whole; elsewhere, as in a request's path, its values.
    (re.compile(r"(://[^\s?'\"]*\?)[^\s'\"<>)]*[^\s'\"<>),.:;]"), rf"\1{MASK}"),
    (re.compile(r"([?&][\w.~%-]+=)[^\s&'\"<>)]*[^\s&'\"<>),.:;]"), rf"\1{MASK}"),
)


def redacted(text: str) -> str:
    """`text` without users, passwords and queries of addresses, and without the secrets of the environment.

    Those are what variables hold whose names end in PASSWORD, TOKEN, SECRET, KEY or KEYS, and the passwords in the
    addresses of all others.
    """
    for secret in sorted(_secrets_of_the_environment(), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _without_logins(text)


def holds_secret(address: str) -> bool:
    """Whether an address has a user, a password or a query."""
    return _without_logins(address) != address


def _without_logins(text: str) -> str:
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _secrets_of_the_environment() -> set[str]:
    found: set[str] = set()
    for name, value in os.environ.items():
        if _SECRET_NAMES.search(name):
            found |= {value, *re.split(r"[\s,]+", value)}
        elif login := _LOGIN.search(value):
            # With a slash in the password, libraries take what is before it for the host, and say so.
            found |= {login[2], unquote(login[2]), *login[1].split("/")}
    return {secret for secret in found if len(secret) >= SHORTEST}
