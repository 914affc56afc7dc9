"""Reads words that are spelt in codes: spelling alphabets, flags, places in the alphabet.

Each is told cheaply. Codes that are numbers of characters are in `decoding`.
"""

from __future__ import annotations

import re
import string

from querybudget.embedding.normalization.wordplay import Knows

_SPELLING = """
    alfa:a alpha:a bravo:b charlie:c delta:d echo:e foxtrot:f golf:g hotel:h india:i juliett:j
    juliet:j kilo:k lima:l mike:m november:n oscar:o papa:p quebec:q romeo:r sierra:s tango:t
    uniform:u victor:v whiskey:w whisky:w xray:x x-ray:x yankee:y zulu:z
"""
_LETTER_OF = dict(re.findall(r"(\S+):(\S)", _SPELLING))
_NAMES = "|".join(sorted(_LETTER_OF, key=len, reverse=True))
_SPELT = re.compile(
    rf"(?<!\w)(?:{_NAMES})(?!\w)(?:\W{{1,5}}(?:{_NAMES})(?!\w)){{7,}}", re.IGNORECASE
)
_NAME = re.compile(rf"(?:{_NAMES})(?!\w)|\W+", re.IGNORECASE)

_REGIONAL = "\U0001f1e6-\U0001f1ff"
_REGIONAL_RUN = re.compile(f"[{_REGIONAL}]+(?:[\u200b-\u200d\u2060][{_REGIONAL}]+)*")
_BETWEEN = re.compile("[\u200b-\u200d\u2060]")
_FIRST_REGIONAL = 0x1F1E6
_FLAG = 2  # letters of a flag
_FEWEST = 3  # runs that are no flags, and words that are known

_PLACES = re.compile(r"(?<![\w-])\d{1,2}(?:[^\w\n]{1,4}\d{1,2}){8,}(?![\w-])")
_GAP = re.compile(r"\D+")
_TIED = 0.5  # share of the numbers that are tied to the next one by a hyphen
_TIES = 4  # of so many numbers as `_PLACES` finds, at least
_KNOWN = 0.6  # share of the words of three letters and more that are known

_NUMBER = re.compile(r"\d+")


def spelt(text: str, knows: Knows) -> str:
    """Return a text with what is spelt in codes as it is meant; most often, the text itself.

    Args:
        text: The text.
        knows: Whether a word in lower case is known.
    """
    if "ango" in text or "ANGO" in text:
        text = _SPELT.sub(_initials, text)
    if not text.isascii() and _REGIONAL_RUN.search(text):
        text = _without_regional(text)
    if "1" in text and text.count("-") >= _TIES:
        text = _PLACES.sub(lambda found: _of_places(found[0], knows), text)
    return text


def _initials(found: re.Match[str]) -> str:
    parts = _NAME.findall(found[0])
    return "".join(
        _LETTER_OF.get(part.lower(), "" if part in {" ", "-", ", "} else " ") for part in parts
    )


def _without_regional(text: str) -> str:
    """Return a text with letters for their emoji; flags, of two each, stay."""
    runs = [_BETWEEN.sub("", run) for run in _REGIONAL_RUN.findall(text)]
    if sum(len(run) % _FLAG for run in runs) < _FEWEST:
        return text
    return _REGIONAL_RUN.sub(
        lambda run: "".join(
            chr(ord(sign) - _FIRST_REGIONAL + ord("a")) for sign in _BETWEEN.sub("", run[0])
        ),
        text,
    )


def _of_places(found: str, knows: Knows) -> str:
    """Return the letters at some places of the alphabet, if they are words."""
    places = [int(place) for place in _NUMBER.findall(found)]
    gaps = _GAP.findall(found)
    tied = sum(gap[0] == "-" for gap in gaps)
    if min(places) < 1 or max(places) > len(string.ascii_lowercase) or tied < _TIED * len(gaps):
        return found
    letters = [string.ascii_lowercase[place - 1] for place in places]
    between = ["" if "-" in gap and " " not in gap else " " for gap in gaps]
    read = "".join(map(str.__add__, letters, [*between, ""]))
    long = [word for word in read.split() if len(word) >= _FEWEST]
    return read if sum(map(knows, long)) >= max(_FEWEST, _KNOWN * len(long)) else found
