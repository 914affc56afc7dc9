"""Text as the vocabulary spells it: one form for letters that look or mean the same."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["DROPPED", "FOLDED", "normalise"]

DROPPED = (
    "\u0300-\u036f"  # accents of Latin, Greek and Cyrillic, once taken apart
    "\u0591-\u05bd\u05bf-\u05c7"  # Hebrew points
    "\u0640\u064b-\u0655\u0670"  # Arabic stretching, vowel signs, and hamza on its carriers
    "\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\u00ad"  # what nobody can see
)
"""Characters that are left out, as the inside of a regular expression's class.

Marks of other scripts stay: without theirs, words of Hindi, Thai or Japanese are other words.
"""

FOLDED = {"\u03c2": "\u03c3", "\u0131": "i"}  # Greek final sigma, Turkish dotless i
"""Letters spelt two ways by their place or their language alone."""

_DROPPED = re.compile(f"[{DROPPED}]+")


def normalise(text: str) -> str:
    """Lower case, compatibility forms and accents folded.

    The same as this sequence of the reference tokenizer's steps: NFKD, drop `DROPPED`, lower case,
    fold `FOLDED`, NFC.
    """
    text = _DROPPED.sub("", unicodedata.normalize("NFKD", text)).lower()
    for letter, other in FOLDED.items():
        text = text.replace(letter, other)
    return unicodedata.normalize("NFC", text)
