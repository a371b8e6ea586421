"""Redaction: secrets are replaced by `***` where they stand in messages and logs; no other value is touched."""

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

MASK = "***"
SHORTEST = 8
"""Characters of an environment variable's secret; a shorter one would take common words out of messages."""

_SECRET_NAMES = re.compile(r"(^|_)((PG)?PASSWORDS?|PASSWD|PASS|(MYSQL_)?PWD|API_KEY|TOKEN|SECRET)(_|$)", re.IGNORECASE)
_WHERE_OR_WHAT = re.compile(r"^(?-i:PWD)$|_(FILE|PATH|DIR|NAME|ID|URL|URI|ENDPOINT|TYPE)S?$", re.IGNORECASE)
"""Such names whose values are no secret: PWD holds the current folder, TOKEN_FILE a path, and others what a secret is
called."""
_OUR_KEYS = "DCGAN_API_KEYS"
_LOGIN = re.compile(r"://([^:/@\s]*:(.+))@")
_HOST_AND_PORT = re.compile(r"(localhost|[\w-]+(\.[\w-]+)+):\d{1,5}(/.*)?")
"""What is before an @ in an address's path, as in those of package registries."""
_PATTERNS = (
    # A user after the scheme, with or without a password; pathlib makes one slash of two.
    (re.compile(r"(://|https?:/)[^/\s]+@"), rf"\1{MASK}@"),
    # user:password@ without a scheme, or with a slash in the password.
    (re.compile(r"(?<![^\s/'\"(<=])(?<!(?<![/:])/)[^\s/:@'\"]*:[^\s/@'\"][^\s@]*@"), f"{MASK}@"),
    # An address's query as a whole; elsewhere, as in a request's path, its values.
    (re.compile(r"(://[^\s?'\"]*\?)[^\s'\"<>)]*[^\s'\"<>),.:;]"), rf"\1{MASK}"),
    (re.compile(r"([?&][\w.~%-]+=)[^\s&'\"<>)]*[^\s&'\"<>),.:;]"), rf"\1{MASK}"),
)


def redacted(text: str) -> str:
    """`text` without the logins and queries of addresses, and without the secrets of the environment.

    Those are the values of variables with PASSWORD, TOKEN, SECRET or API_KEY in their names, each of DCGAN_API_KEYS,
    and the logins in the addresses of all others, if they have at least SHORTEST characters. They are replaced only
    where they are whole words.
    """
    for secret in sorted(set(_secrets_of_the_environment()), key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    return _without_logins(text)


def holds_secret(address: str) -> bool:
    """Whether an address has a user, a password or a query."""
    return _without_logins(address) != address


def _without_logins(text: str) -> str:
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _secrets_of_the_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if name == _OUR_KEYS:
            yield from re.split(r"[\s,]+", value)
        elif _SECRET_NAMES.search(name) and not _WHERE_OR_WHAT.search(name):
            # A line of it is quoted where a value with several is no header.
            yield from (value, repr(value)[1:-1], *value.splitlines())
        elif (login := _LOGIN.search(value)) and not _HOST_AND_PORT.fullmatch(login[1]):
            # With a slash in the password, libraries take what is before it for the host, and say so.
            yield from (login[2], unquote(login[2]), *login[1].split("/"))
