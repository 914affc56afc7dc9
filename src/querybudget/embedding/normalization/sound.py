"""Reads English words that are spelt as they sound: "relashunship", "eksplain", "justise".

A word's *sound* is its letters once the usual ways to write each sound are one. Words that are not
known are read as the frequent word that sounds the same. Names and words of other languages may
sound like one too, so the text has to be English otherwise, and a good part of its unknown words
has to sound like words.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from querybudget.coverage.lexicon import MARKS

_SHORTEST, _SHORT = 4, 3  # letters of a word that shows how a text is written, and of others in it
_LEAST = 2  # such words of a text, if none of them says how it is phrased
_SHARE = 0.4  # of its unknown words, at least
_FREQUENT = 0.5  # of its words that are frequent ones, at least
_SHORT_WORDS = """
    the a an of to and is are was for with that this how what why which from by it you your
"""
_ENGLISH = frozenset(_SHORT_WORDS.split())
_FUNCTION = 0.05  # of its words that only English has, at least
_SAMPLE = 4  # unknown words by which most texts are told to have none
_TOLD = 3  # letters of a sound by which a word is told
_ENDINGS = ("s", "re", "ve", "ll", "d")  # of words whose apostrophe is lost: "youve"
_SILENT = {"kn": "n", "gn": "n", "wr": "r", "ps": "s", "wh": "w"}  # first letters
_ENDING = re.compile("(?:ss?|[tc])i[aeo](?=n|l)|shu(?=n|l)").sub
_SOUNDS = (
    ("ight", "it"),
    ("ough", "uf"),
    ("augh", "uf"),
    ("ould", "ud"),
    ("ph", "f"),
    ("th", "f"),
    ("tch", "C"),
    ("ch", "C"),
    ("sh", "S"),
    ("qu", "kw"),
    ("ce", "se"),
    ("ci", "si"),
    ("cy", "sy"),
    ("ck", "k"),
    ("dg", "j"),
    ("ea", "e"),
    ("ei", "e"),
    ("ie", "e"),
    ("ou", "o"),
    ("ow", "o"),
)
"""Letters and how they sound; each is looked for in what those before it have left."""
_LETTERS = str.maketrans({"z": "s", "c": "k", "q": "k", "x": "ks"})
_REPEATED = re.compile(r"(.)\1+").sub
_WORDS = re.compile(r"[A-Za-z]+")


def sounds_of(words: Iterable[str]) -> list[str]:
    """Return how words of letters in lower case sound; all at once, which is quicker."""
    text = " ".join([_SILENT.get(word[:2], word[:2]) + word[2:] for word in words])
    text = _ENDING("Si", text)
    for spelt, heard in _SOUNDS:
        text = text.replace(spelt, heard)
    text = _REPEATED(r"\1", text.translate(_LETTERS))
    return [heard.removesuffix("e") for heard in text.split(" ")]


def by_sound(words: Collection[str]) -> dict[int, str]:
    """Return the first of the words that sound the same, by a hash of that."""
    found: dict[int, str] = {}
    for word, heard in zip(words, sounds_of(words), strict=True):
        if len(heard) >= _TOLD:
            found.setdefault(hash(heard), word)
    return found


def respelt(
    text: str, unknown: Collection[str], sounds: Mapping[int, str], words: Collection[str]
) -> str:
    """Return a text with the words that its unknown ones sound like.

    Args:
        text: The text.
        unknown: Its words that are not known, in lower case.
        sounds: Words that may be meant, as `by_sound` returns them.
        words: Frequent English words.
    """
    asked = [word for word in unknown if len(word) >= _SHORTEST and word.isalpha()]
    found = _heard(asked[:_SAMPLE], sounds, words)
    if not found:
        return text
    found |= _heard(asked[_SAMPLE:], sounds, words)
    if len(found) < _SHARE * len(asked):
        return text
    if len(found) < _LEAST and MARKS.keys().isdisjoint(found.values()):
        return text
    if not _is_english(text, words, found):
        return text
    found |= _heard([word for word in unknown if len(word) == _SHORT], sounds, words)
    return _WORDS.sub(lambda word: found.get(word[0].lower(), word[0]), text)


def _is_english(text: str, words: Collection[str], heard: Collection[str]) -> bool:
    every = [word[0].lower() for word in _WORDS.finditer(text)]
    frequent = sum(word in words or word in heard for word in every)
    english = sum(word in _ENGLISH for word in every)
    return frequent >= _FREQUENT * len(every) and english >= _FUNCTION * len(every)


def _heard(
    asked: Collection[str], sounds: Mapping[int, str], words: Collection[str]
) -> dict[str, str]:
    return {
        word: meant
        for word, heard in zip(asked, sounds_of(asked) if asked else (), strict=True)
        if (meant := sounds.get(hash(heard))) and not _is_contraction(word, words)
    }


def _is_contraction(word: str, words: Collection[str]) -> bool:
    return any(word.endswith(ending) and word[: -len(ending)] in words for ending in _ENDINGS)
