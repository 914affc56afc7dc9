"""Tables of characters for the compiled kernel, made from what the Python forms do with them."""

from __future__ import annotations

import functools
import re
import unicodedata
from array import array
from collections.abc import Iterable, Sequence

from querybudget.embedding.kernel import KERNEL, Lexicon
from querybudget.embedding.normalization.words import DROPPED_SIGNS, TRIMMED
from querybudget.embedding.wordpiece import DROPPED, FOLDED, SEPARATORS, UNSPACED

PLANE = 0x10000
"""Characters of Unicode's first plane, of which there are tables. Texts with others go to the
Python forms, but for Han and pictures."""

_WORD, _UNSPACED, _LETTER, _GAP, _SKIPPED = (1 << bit for bit in range(5))
_WORDS = re.compile(f"[^{SEPARATORS}{UNSPACED}]+")
_UNSPACED_SIGNS = re.compile(f"[{UNSPACED}]+")
_LETTERS = re.compile(rf"(?:(?![{UNSPACED}])[^\W\d_])+")
_GAPS = re.compile(rf"[\s{re.escape(TRIMMED)}]+")
_SKIPPED_SIGNS = re.compile(f"[{DROPPED_SIGNS}]+")
_WITHOUT_FORM = re.compile(f"[{DROPPED}]+")
_CLASSES = (
    (_WORD, _WORDS),
    (_UNSPACED, _UNSPACED_SIGNS),
    (_LETTER, _LETTERS),
    (_GAP, _GAPS),
    (_SKIPPED, _SKIPPED_SIGNS),
)
_SPECIAL, _DROPPED, _EXPANDS, _STARTS_LOW, _ENDS_LOW, _MARK = (
    1 << bit for bit in range(31, 25, -1)
)
_MOST = 3  # characters that one is decomposed into
_JAMO = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))
"""Vowels and last consonants, which are composed with what is before them by a rule."""


def lexicon_of(vocabulary: Sequence[str]) -> Lexicon | None:
    """Return the compiled form of a vocabulary, or None without the kernel."""
    if KERNEL is None:
        return None
    folds, expansions = _folds()
    return KERNEL.Lexicon([*vocabulary], _classes(), folds, expansions)


@functools.cache
def _classes() -> bytes:
    """Return the classes of each character, as bits."""
    every = "".join(map(chr, range(PLANE)))
    table = bytearray(PLANE)
    for bit, expression in _CLASSES:
        for found in expression.finditer(every):
            for code in range(found.start(), found.end()):
                table[code] |= bit
    return bytes(table)


@functools.cache
def _folds() -> tuple[bytes, bytes]:
    """Return what each character becomes when it is normalised, wherever it stands.

    Characters whose form depends on their neighbours are special: those that others before them are
    composed with, and those of many parts. Marks that may be sorted are flagged.

    Returns:
        For each character 32 bits, and the forms of more than one character, as UTF-32.
    """
    every = [chr(code) for code in range(PLANE)]
    composed = _composed(every)
    # One call for all: a line break is no part of any form, and nothing is composed across it.
    parts = unicodedata.normalize("NFKD", "\n".join(every[11:])).split("\n")
    parts = [*every[:11], *parts]
    kept = [_WITHOUT_FORM.sub("", part) for part in parts]
    lower = [part.lower().translate({ord(a): b for a, b in FOLDED.items()}) for part in kept]
    folds = array("I", bytes(4 * PLANE))
    expansions: list[str] = []
    size = 0
    for code, (sign, part, form) in enumerate(zip(parts, kept, lower, strict=True)):
        form = unicodedata.normalize("NFC", form)  # noqa: PLW2901 - the last step
        if len(sign) > _MOST or len(form) > _MOST or not composed.isdisjoint(part[:1]):
            folds[code] = _SPECIAL
            continue
        flags = _flags(every[code], part)
        if len(form) == 1 and ord(form) < PLANE:
            folds[code] = flags | ord(form)
        elif not form:
            folds[code] = flags | _DROPPED
        else:
            folds[code] = flags | _EXPANDS | size << 4 | len(form)
            expansions.append(form)
            size += len(form)
    return folds.tobytes(), _utf32("".join(expansions))


def _utf32(text: str) -> bytes:
    return array("I", map(ord, text)).tobytes()


def _flags(sign: str, part: str) -> int:
    low = [unicodedata.combining(one) > 0 for one in part]
    return (
        _MARK * (unicodedata.category(sign)[0] == "M")
        | _STARTS_LOW * (low[:1] == [True])
        | _ENDS_LOW * any(low)
    )


def _composed(every: Iterable[str]) -> frozenset[str]:
    """Return the characters that some before them are composed with."""
    pairs = [unicodedata.decomposition(sign).split() for sign in every]
    found = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and pair[0][0] != "<"}  # noqa: PLR2004
    return frozenset(found) | frozenset(map(chr, _JAMO))
