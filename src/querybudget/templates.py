"""Templates (system prompts) by likeness: which of them are one, written with other words.

A template is folded first: numbers, dates, addresses, identifiers and names are all the same, and
case does not count. What is left is a set of words and of pairs of words. Two templates share a
number with about the probability that the sets are alike (min-wise hashing: Broder, "On the
resemblance and containment of documents", 1997), so one word changed, or a sentence said anew,
mostly keeps it. A template has a number for its beginning and one for its end, so that what is put
in one place does not change both. The hashes are keyed, so nobody else knows which words decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from zlib import crc32

ENDS = 2
"""Numbers of a template: of its beginning and of its end."""

WORDS = 64
"""Words looked at, at each end."""

REACH = 700
"""Characters looked at, at each end: this bounds the work, whatever the template."""

ROWS = 3
"""Smallest hashes that must all be equal for a number to be: three keep strangers apart."""

FOLDED = "0"
"""Stands for numbers, dates, addresses, identifiers and names; several in a row are one."""

LONGEST_WORD = 24
"""Letters; what is longer is an identifier."""

SHORTEST = 4
"""Letters of a word that counts alone. Shorter ones are in any text, and count in pairs."""

FEW_NAMES = 5
"""A word in five may be a name. Where more begin with a capital, the language writes nouns so."""

_NO_SPACES = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese: each character is a word."""

_LETTERS = rf"[^\W_{_NO_SPACES}]+"
_TOKEN = re.compile(
    r"(?P<folded>(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*+://\S+|www\.\S+"
    r"|(?<![\w.+-])[\w.+-]++@[\w.-]+)"
    rf"|(?P<sign>[{_NO_SPACES}])|(?P<word>{_LETTERS}(?:[_-]{_LETTERS})*)"
)
_ENDS_SENTENCE = re.compile(r"[.!?\n]")
_DIGIT = re.compile(r"\d")
_MASK = (1 << 64) - 1


class Likeness:
    """Numbers that templates which are alike share.

    Args:
        key: Secret of the deployment.
    """

    def __init__(self, key: bytes) -> None:
        size = 8 * (2 + ENDS * ROWS)  # at most 64
        drawn = blake2b(key, digest_size=size, person=b"likeness").digest()
        # Odd factors: a hash times one of them, of which the high bits count, is a hash again.
        self._seed, self._pair, *factors = (
            int.from_bytes(drawn[at : at + 8], "big") | 1 for at in range(0, size, 8)
        )
        self._rows = [factors[at : at + ROWS] for at in range(0, ENDS * ROWS, ROWS)]

    def numbers(self, template: str) -> tuple[int, ...]:
        """Return the numbers of a template, one for each end; each is of 64 bits."""
        first = _words(template[:REACH])
        last = first if len(template) <= REACH else _words(template[-REACH:])
        begins = self._shingles(first[:WORDS])
        whole = last is first and len(first) <= WORDS
        ends = begins, begins if whole else self._shingles(last[-WORDS:])
        return tuple(map(_number, ends, self._rows))

    def _shingles(self, words: list[str]) -> set[int]:
        """Hash the words that count alone, and the pairs of neighbours."""
        seed, pair = self._seed & 0xFFFFFFFF, self._pair
        hashes = [crc32(word.encode(), seed) + 1 for word in words]
        alone = {each for each, word in zip(hashes, words, strict=True) if len(word) >= SHORTEST}
        before = 0
        for each in hashes:
            alone.add((before * pair + each) & _MASK)
            before = each
        return alone or {0}


def _number(shingles: set[int], row: list[int]) -> int:
    smallest = [min([one * factor & _MASK for one in shingles]) for factor in row]
    packed = b"".join(one.to_bytes(8, "big") for one in smallest)
    return int.from_bytes(blake2b(packed, digest_size=8).digest(), "big")


def _words(text: str) -> list[str]:
    """Return the words of a text, folded."""
    found = list(_found(text))
    names = sum(is_name for _, is_name in found)
    folds = names * FEW_NAMES <= len(found)
    words: list[str] = []
    for word, is_name in found:
        folded = FOLDED if is_name and folds else word
        if folded != FOLDED or not words or words[-1] != FOLDED:
            words.append(folded)
    return words


def _found(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each word, and whether it may be a name: it has a capital and begins no sentence."""
    end = 0
    for match in _TOKEN.finditer(text):
        word, kind = match.group(), match.lastgroup
        begins = end == 0 or _ENDS_SENTENCE.search(text, end, match.start()) is not None
        end = match.end()
        if kind == "folded" or (
            kind == "word" and (len(word) > LONGEST_WORD or _DIGIT.search(word))
        ):
            yield FOLDED, False
        else:
            yield word.casefold(), word[0].isupper() and not begins
