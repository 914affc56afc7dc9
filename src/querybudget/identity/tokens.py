"""JSON Web Tokens (RFC 7519), each by one spelling.

Some libraries decode base64url leniently: padding, other alphabets, white space and stray bits in
the last character make new spellings of a token that they accept. And whoever has one signature by
an elliptic curve can make a second one. Nothing is verified here.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from querybudget.identity.identity import CONTRADICTORY

_PARTS = (3, 5)
"""Parts of a signed token (RFC 7515), and of an encrypted one (RFC 7516)."""

_AFTER_BRACE = (b'"', b" ", b"\n", b"\r", b"\t", b"}")

_LONGEST_HEADER = 4_096
"""Characters of a header that is read."""

_ORDERS = {
    "ES256": int("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551", 16),
    "ES256K": int("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141", 16),
    "ES384": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
        16,
    ),
    "ES512": int(
        "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA"
        "51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
        16,
    ),
}
"""Orders of the curves (FIPS 186-5, SEC 2). If (r, s) is a signature, so is (r, order - s)."""


class _Header(msgspec.Struct):
    alg: str = ""


def canonical_token(key: str) -> str:
    """Return a key; of a JSON Web Token one spelling, or `CONTRADICTORY` for any but the plain one.

    A key that is no JSON Web Token is returned as it is.
    """
    if not key.startswith("e") or key.count(".") + 1 not in _PARTS:
        return key
    parts = key.split(".")
    if not _begins_as_json(parts[0]):
        return key
    if not all(map(_is_plain, parts)):
        return CONTRADICTORY
    order = _ORDERS.get(_algorithm(parts[0])) if len(parts) == _PARTS[0] else None
    if order is None:
        return key
    return ".".join([*parts[:2], _low(parts[2], order)])


def _begins_as_json(part: str) -> bool:
    try:
        begin = urlsafe_b64decode(part[:4])
    except (binascii.Error, ValueError):
        return False
    return begin[:1] == b"{" and begin[1:2] in _AFTER_BRACE


def _is_plain(part: str) -> bool:
    """Whether base64url is written without padding, other characters and stray bits."""
    try:
        decoded = _decoded(part)
    except (binascii.Error, ValueError):
        return False
    return urlsafe_b64encode(decoded).rstrip(b"=").decode() == part


def _algorithm(part: str) -> str:
    if len(part) > _LONGEST_HEADER:
        return ""
    try:
        return msgspec.json.decode(_decoded(part), type=_Header).alg
    except msgspec.MsgspecError:
        return ""


def _low(part: str, order: int) -> str:
    """The signature whose second half is the smaller of the two that are valid."""
    signature = _decoded(part)
    half = len(signature) // 2
    if len(signature) != 2 * (-(-order.bit_length() // 8)):
        return part
    s = int.from_bytes(signature[half:])
    low = min(s, (order - s) % order)
    return urlsafe_b64encode(signature[:half] + low.to_bytes(half)).rstrip(b"=").decode()


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
