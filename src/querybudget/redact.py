"""What logs, events and terminals may show: no secrets, and strangers' texts cut."""

from __future__ import annotations

import re
from urllib.parse import unquote

LONGEST = 200
"""Characters that are shown of a text which a stranger sent."""

_HIDDEN = "..."

_SPACELESS = re.compile(r"\S+")
"""One step over each stretch: an error may repeat what a stranger sent."""

_LONG_QUOTED = re.compile(r"(['\"])\S{12,}\1")
"""A long word in quotes: in a store's errors, the name of an account or a file."""


def redact_url(url: str) -> str:
    """A URL without user, password and query, even if it is malformed."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _HIDDEN
    place, _, query = rest.partition("?")
    if scheme == "sqlite":
        return f"{scheme}://{place}"  # a path: it has no credentials, and may contain an @
    if "@" in query:
        place = _HIDDEN  # what comes before the question mark may be part of a password
    return f"{scheme}://{place.rpartition('@')[2]}"


def redact_error(message: str, url: str = "") -> str:
    """An error message without the credentials of any URL in it.

    Args:
        message: The error's text.
        url: The URL in use, if known. Its user and password are then also removed where the
            message repeats them outside a URL.
    """
    credentials = url.partition("://")[2].rpartition("@")[0]
    user, _, password = credentials.partition(":")
    token = "" if password else unquote(user)  # a lone user is commonly an access token
    for secret in (credentials, password, unquote(password), token):
        if secret:
            message = message.replace(secret, _HIDDEN)
    return _SPACELESS.sub(_without_credentials, message)


def _without_credentials(stretch: re.Match[str]) -> str:
    """What stands between the first ``://`` and the last ``@`` is taken out."""
    before, separator, rest = stretch[0].partition("://")
    return f"{before}{separator}{rest.rpartition('@')[2]}"


def error_type(error: BaseException) -> str:
    """The type of an error whose message may not be shown: ``ValueError``, ``struct.error``."""
    kind = type(error)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def redact_names(message: str) -> str:
    """An error message without the names of accounts and files: quoted words of 12 characters."""
    return _LONG_QUOTED.sub(rf"\1{_HIDDEN}\1", message)


def shown(text: str) -> str:
    """A text that a stranger sent, for events, logs and labels: on one line, and at most 203 long.

    Control characters, line breaks, invisible ones and those that change the direction of writing
    are escaped as in Python.
    """
    if len(text) <= LONGEST and text.isprintable():
        return text
    cut = text[:LONGEST]
    if not cut.isprintable():
        cut = "".join(one if one.isprintable() else _escaped(one) for one in cut)
    return cut[:LONGEST] + _HIDDEN if len(text) > LONGEST or len(cut) > LONGEST else cut


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
