"""Takes off data that nobody reads as words: signatures, digests, keys, sequences of a protein.

A text of such data is no language, and would be opaque. A developer who asks about tokens or lock
files, or a biologist, would soon have spent what a policy allows of text that is no language.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from binascii import Error

TAKEN = " 0 "
"""What stands for data."""

_TOKEN = re.compile(r"(?<![\w-])(eyJ[\w-]{8,}+)\.([\w-]*+)\.?[\w-]*+")
_DIGEST = re.compile(
    r"(?<![A-Za-z0-9])(?:sha-?(?:1|224|256|384|512)|md5)[-:= ]{1,2}[A-Za-z0-9+/]{20,}+={0,2}",
    re.IGNORECASE,
)
_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{1,40}-----[A-Za-z0-9+/=\s]{0,}+-----END [A-Z0-9 ]{1,40}-----"
)
_SEQUENCE = re.compile(r"(?<![A-Za-z])(?:[ACDEFGHIKLMNPQRSTVWYX*]{30,}+\s?)++(?![A-Za-z])")
_KINDS = (("-----BEGIN ", _KEY), ("sha", _DIGEST), ("md5", _DIGEST))


def without_data(text: str) -> str:
    """Return a text with a 0 for each key, digest and sequence, and tokens (JWT) as what they say.

    Args:
        text: A text that is not surely ordinary.
    """
    if "eyJ" in text:
        text = _TOKEN.sub(_said, text)
    for sign, expression in _KINDS:
        if sign in text:
            text = expression.sub(TAKEN, text)
    return _SEQUENCE.sub(TAKEN, text)


def _said(token: re.Match[str]) -> str:
    """Return the header and the claims of a token (RFC 7519); its signature says nothing."""
    try:
        parts = [
            urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode() for part in token.groups()
        ]
    except (Error, ValueError):
        return token[0]
    return " ".join([*parts, TAKEN])
