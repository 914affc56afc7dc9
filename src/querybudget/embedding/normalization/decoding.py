"""Decodes what stands in a text as numbers for its characters: base64, octal, Morse."""

from __future__ import annotations

import base64
import binascii
import html
import quopri
import re
import string
import unicodedata
import zlib
from collections.abc import Callable, Container
from functools import partial

from querybudget.embedding.normalization import letters
from querybudget.embedding.normalization.words import is_code

_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{16,}(?:\r?\n[A-Za-z0-9+/_-]+)*={0,2}"
).sub
_BASE32 = re.compile(r"(?<![A-Za-z0-9])[A-Z2-7]{16,}={0,6}(?![A-Za-z0-9])").sub
_HEX = re.compile(
    r"(?<![0-9A-Za-z])(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ ,:\n]{0,2}){8,}(?![0-9A-Za-z])"
).sub
_BITS = re.compile(
    r"(?<!\d)(?:[01]{8}){4,}(?!\d)|(?<!\d)[01]{7,8}(?:[ ,\n][01]{7,8}){3,}(?!\d)"
).sub
_CODES = re.compile(r"(?<!\d)\d{2,7}(?:[ ,;]{1,2}\d{2,7}){9,}(?!\d)").sub
_OCTAL = re.compile(r"(?<!\d)[01][0-7]{2}(?:[ ,\n]{1,2}[01][0-7]{2}){9,}(?!\d)").sub
_CALLS = re.compile(r"(?:chr\(\d{1,6}\)[\s+&.,;]{0,4}){6,}", re.IGNORECASE).sub
_QUOTED = re.compile(r"(?<![\w.~=-])(?:[\w.~-]{0,24}+=[0-9A-F]{2}){6,}+[\w.~-]{0,24}").sub
_UU = re.compile(
    r"begin \d{3} \S{1,40}\r?\n((?:[!-`][ -`]{1,61}\r?\n)+)[ `]?\r?\n?end", re.ASCII
).sub
_UU_LINES = re.compile(r"(?<=\n)[!-`][ -`]+", re.ASCII).findall
_PERCENT = re.compile(r"(?<![\w.~+%/=?&:-])(?:[\w.~+-]*%[0-9A-Fa-f]{2}){4,}[\w.~+-]*").sub
_ENTITIES = re.compile(r"(?:&#(?:\d{1,7}|[xX][0-9A-Fa-f]{1,6});[ ]?){4,}").sub
_ESCAPES = re.compile(r"(?:\\u\{?[0-9A-Fa-f]{4,6}\}?|\\U[0-9A-Fa-f]{8}){4,}").sub
_ESCAPE = re.compile(r"[0-9A-Fa-f]{4,8}").findall
_MORSE_SIGN = r"[.\u00b7\u2022_\u2013\u2014-]{1,6}"
_MORSE = re.compile(rf"{_MORSE_SIGN}(?: {{1,3}}(?:[/|] ?)?{_MORSE_SIGN}){{9,}}").sub
_MORSE_GAPS = re.compile(r"[ ]?[/|][ ]?|[ ]{2,3}").split
_NOT_HEX = re.compile(r"0x|\\x|[^0-9A-Fa-f]").sub
_GROUPS = re.compile("[01]+").findall
_BYTES = re.compile("[01]{8}").findall
_NUMBERS = re.compile(r"\d+").findall
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})").sub
_SHORT_LONG = str.maketrans("\u00b7\u2022_\u2013\u2014", "..---")
_MORSE_CODE = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...-"
    " .-- -..- -.-- --.. ----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----. .-.-.-"
    " --..-- ..--.. -.-.-- -....- .----. -..-."
)
_MORSE_LETTERS: dict[str, str] = dict(
    zip(_MORSE_CODE.split(), "abcdefghijklmnopqrstuvwxyz0123456789.,?!-'/", strict=True)
)
_GZIP, _ZLIB = b"\x1f\x8b", b"x"  # first bytes
_EITHER = zlib.MAX_WBITS | 32  # either of the two
_LONGEST = 1 << 16  # bytes that are unpacked
_FEWEST_CALLS = 6  # numbers that `_CALLS` and `_QUOTED` find, at least
_FEWEST_BITS = 28  # digits of what `_BITS` finds, at least
_LEAST = 8  # characters of what was decoded, at least
_READABLE = 0.75  # share of letters and spaces in it, at least
_SCRIPTS = 3  # Japanese has three
_LETTERS = 0.8
_SPACED = 0x0E00  # scripts without spaces come later
_SURROGATE = re.compile("[\ud800-\udfff]").search
_LAST_CODE = 0x10FFFF
_HIGH = 0x80

Decode = Callable[[str], str | None]


def decoded(text: str) -> str:
    """Return a text with whatever stands in it as numbers for characters decoded."""
    if "%" in text:
        text = _PERCENT(_with(_percent), text)
    if "&#" in text:
        text = _ENTITIES(_with(_entities), text)
    if "\\" in text:
        text = _ESCAPES(_with(_escapes), text)
    for may_hold, substitute, decode in _STEPS:
        if may_hold(text):
            text = substitute(_with(decode), text)
    return text


def _with(decode: Decode) -> Callable[[re.Match[str]], str]:
    def replaced(found: re.Match[str]) -> str:
        return decode(found[0]) or found[0]

    return replaced


def _text(data: bytes) -> str | None:
    """Return what bytes say; None if that is no readable text."""
    # A stretch may have been cut in the middle of a character.
    for _ in range(3):
        if data and 0x80 <= data[0] < 0xC0:  # noqa: PLR2004 - the bytes inside a character
            data = data[1:]
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if error.start < len(data) - 3 or error.reason != "unexpected end of data":
            return None
        text = data[: error.start].decode()
    return text if _is_readable(text) else None


def _is_readable(text: str) -> bool:
    if not text or (len(text) < _LEAST and text.isascii()):
        return False
    readable = 0
    for sign in text:
        if (sign < " " and sign not in "\t\n\r") or "\x7f" <= sign < "\xa0":
            return False
        readable += sign.isalnum() or sign in " \n" or ord(sign) > _HIGH
    return readable >= _READABLE * len(text) and (text.isascii() or _scripts(text) <= _SCRIPTS)


def _scripts(text: str) -> int:
    """Return the number of scripts of a text; data that happens to be text has many."""
    foreign = [sign for sign in text if sign.isalpha() and ord(sign) >= _HIGH]
    return len({unicodedata.name(sign, "").partition(" ")[0] for sign in foreign})


def _base64(found: str) -> str | None:
    signs = "".join(found.split()).rstrip("=").replace("-", "+").replace("_", "/")
    if is_code(signs):
        return None
    return _of_groups(signs, 4, {1}, partial(base64.b64decode, validate=True))


def _base32(found: str) -> str | None:
    return _of_groups(found.rstrip("="), 8, {1, 3, 6}, base64.b32decode)


def _of_groups(
    signs: str, size: int, impossible: Container[int], decode: Callable[[str], bytes]
) -> str | None:
    """Return the text of signs in groups of `size`, of which the last may not be `impossible` long.

    Where a chunk was cut, the first signs are a part of a group.
    """
    for skipped in range(size):
        part = signs[skipped:]
        part = part[: len(part) - (len(part) % size in impossible)]
        try:
            data = decode(part + "=" * (-len(part) % size))
        except (binascii.Error, ValueError):
            continue
        text = _text(data) or _unpacked(data)
        if text is not None:
            return text
    return None


def _unpacked(data: bytes) -> str | None:
    """Return the text that gzip or zlib has packed, its beginning if it is long."""
    if data[:2] != _GZIP and data[:1] != _ZLIB:
        return None
    try:
        unpacked = zlib.decompressobj(_EITHER).decompress(data, _LONGEST)
    except zlib.error:
        return None
    return _text(unpacked)


def _hex(found: str) -> str | None:
    digits = _NOT_HEX("", found)
    if digits.isdecimal() and len(digits) < len(found):
        return None  # a list of numbers
    for skipped in (0, 1):
        part = digits[skipped:]
        text = _text(bytes.fromhex(part[: len(part) & ~1]))
        if text is not None:
            return text
    return None


def _bits(found: str) -> str | None:
    groups = _GROUPS(found)
    if len(groups) == 1:
        groups = _BYTES(found)
    return _text(bytes(int(group, 2) for group in groups))


def _codes(found: str, base: int = 10) -> str | None:
    codes = [int(code, base) for code in _NUMBERS(found)]
    if max(codes) > _LAST_CODE:
        return None
    text = "".join(map(chr, codes))
    if _SURROGATE(text):
        return None
    # Numbers are no letters by themselves: what they spell has words, and spaces between them.
    said = sum(sign.isalpha() or sign == " " or ord(sign) >= _HIGH for sign in text)
    spelt = said > _LETTERS * len(text) and (" " in text or min(codes) > _SPACED)
    return text if spelt and _is_readable(text) else None


def _quoted(found: str) -> str | None:
    return _text(quopri.decodestring(found.encode()))


def _lines(found: str) -> str | None:
    """Return the text that was uuencoded, a line at a time."""
    try:
        return _text(b"".join(map(binascii.a2b_uu, _UU_LINES(found))))
    except (binascii.Error, ValueError):
        return None


def _byte(code: re.Match[bytes]) -> bytes:
    return bytes.fromhex(code[1].decode())


def _percent(found: str) -> str | None:
    data = _ESCAPED(_byte, found.replace("+", " ").encode())
    return _text(data)


def _entities(found: str) -> str | None:
    text = html.unescape(found.replace("; ", ";"))
    return text if _is_readable(text) else None


def _escapes(found: str) -> str | None:
    codes = [int(code, 16) for code in _ESCAPE(found)]
    if max(codes) > _LAST_CODE:
        return None
    text = "".join(map(chr, codes))
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text if _is_readable(text) else None


def _morse(found: str) -> str | None:
    signs = found.translate(_SHORT_LONG)
    words = _MORSE_GAPS(signs)
    spelt = [[_MORSE_LETTERS.get(sign) for sign in word.split()] for word in words]
    known = sum(letter is not None for word in spelt for letter in word)
    if known < 0.95 * sum(map(len, spelt)):
        return None
    text = " ".join("".join(letter or "" for letter in word) for word in spelt)
    return text if _is_readable(text) else None


_DIGITS = string.digits
_STEPS: tuple[tuple[Callable[[str], bool], Callable[..., str], Decode], ...] = (
    (letters.with_run(10, ".-_", " /|", others=True), _MORSE, _morse),
    (lambda text: text.count("0") + text.count("1") >= _FEWEST_BITS, _BITS, _bits),
    (letters.with_run(16, string.hexdigits, "x\\ ,:\n"), _HEX, _hex),
    (letters.with_run(30, "01234567", " ,\n"), _OCTAL, partial(_codes, base=8)),
    (letters.with_run(20, _DIGITS, " ,;", others=True), _CODES, _codes),
    (lambda text: text.count("(") >= _FEWEST_CALLS, _CALLS, _codes),
    (lambda text: text.count("=") >= _FEWEST_CALLS, _QUOTED, _quoted),
    (lambda text: "begin " in text, _UU, _lines),
    (letters.with_run(16, string.ascii_uppercase + "234567"), _BASE32, _base32),
    (letters.with_run(16, string.ascii_letters + _DIGITS + "+/_-"), _BASE64, _base64),
)
"""What tells cheaply that a text may hold an encoding, what finds it, and what decodes it."""
