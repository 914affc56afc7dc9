"""Guesses the words of a text most of whose unknown words are English ones that were changed.

One letter dropped, put in or replaced; vowels left out or changed; letters repeated; signs inside
words. A single word says little, since names and other languages have many that are near an English
one. So a text is read so only if many of its words are unknown, most of these are near English
ones, and one of them says how the prompt is phrased. Words that are cut by spaces are put together.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Collection, Iterator
from itertools import compress, islice

from querybudget.coverage.lexicon import MARKS
from querybudget.embedding.normalization.spelling import frequent

SHORTEST = 4
"""Letters of a word that is guessed."""

_PIECES = 10_000  # at the start of the vocabulary: those in whose words a letter may be wrong
_CONSONANTS = 4  # of a word that is told by them
_LEAST = 4  # changed words of a text
_SHARE = 0.6  # of its unknown words that are changed, at least
_OF_ALL = 0.15  # of its words that are changed and long, at least
_SIGNED = 3  # words with signs inside, of which half are words without them
_SHARE_SIGNED = 0.5
_PER_SIGNED = 16  # spaces of a text for each such word, at most
_CUT = 2  # long words that are cut by a space, of a text in which all of them are put together
_LONG, _SHORTEST_CUT = 7, 5  # letters of such a word, and of others in the same text
_SIGNS = r"(?:[^\w\s]|_)"
_WORDS = re.compile(r"[A-Za-z]+").sub
_SIGNED_WORDS = re.compile(rf"(?<!\w)[A-Za-z]+(?:{_SIGNS}{{1,3}}[A-Za-z]+)+(?!\w)")
_CONTRACTION = re.compile(r"[a-z]+['\u2019](?:s|t|d|m|re|ve|ll)").fullmatch
_RUN = re.compile(r"(?<![\w'\u2019])[A-Za-z]+(?: [A-Za-z]+(?!\w))+")
_RUNS, _RUNS_FOUND = _RUN.sub, _RUN.findall
_LETTERS_ALONE = bytes(
    code if chr(code) in string.ascii_lowercase else ord(" ") for code in range(256)
)
_SIGNS_AND_LETTERS = bytes(
    ord(
        "a"
        if chr(code) in string.ascii_letters
        else "-"
        if chr(code) in string.punctuation
        else " "
    )
    for code in range(256)
)
"""Signs that may stand inside a word as `-`, and letters as `a`; what is not ASCII is encoded as a
question mark, and may be a sign."""
_IN_WORD = re.compile(_SIGNS).sub
_VOWELS = re.compile("[aeiou]+").sub
_STRETCHED = re.compile(r"(.)\1{2,}")
_REPEATED = re.compile(r"(.)\1+").sub


class Mender:
    """Knows which words are one slip away from frequent ones, by look-ups.

    Args:
        vocabulary: Words, the most frequent first.

    Attributes:
        words: Frequent English words, in lower case.
    """

    def __init__(self, vocabulary: Collection[str]) -> None:
        words = frequent(vocabulary)
        self.words = frozenset(words)
        self._without_a_letter: dict[int, str] = {}
        for word in frequent(islice(vocabulary, _PIECES)):
            if len(word) > SHORTEST:
                for shorter in _shorter(word):
                    self._without_a_letter.setdefault(hash(shorter), word)
        self._by_skeleton: dict[int, str] = {}
        for word in words:
            self._by_skeleton.setdefault(hash(_skeleton(word)), word)

    def read(self, text: str, unknown: Collection[str]) -> str:
        """Return a text with the words that are guessed, if it is one that needs it.

        Args:
            text: The text.
            unknown: Its words that are not known, in lower case.
        """
        if len(unknown) < max(_LEAST, _OF_ALL * text.count(" ")):
            return text
        changed = [word for word in unknown if len(word) >= SHORTEST and word.isalpha()]
        if len(changed) < _LEAST:
            return text
        least = max(_LEAST, _OF_ALL * text.count(" "), _SHARE * len(changed))
        missing = len(changed) - least  # words that may remain unknown
        found: dict[str, str] = {}
        for word in changed:
            meant = self._guess(word)
            if meant:
                found[word] = meant
            else:
                missing -= 1
            if missing < 0:
                return text
        if MARKS.keys().isdisjoint(found.values()):
            return text
        for word in unknown:
            if word not in found and (meant := self._by_skeleton.get(hash(_skeleton(word)))):
                found[word] = meant
        return _WORDS(lambda word: found.get(word[0].lower(), word[0]), text)

    def joined(self, text: str) -> str:
        """Return a text without the signs that stand inside its words."""
        if not _may_be_signed(text):
            return text
        signed = {word.lower() for word in _SIGNED_WORDS.findall(text)}
        signed = {word for word in signed if _CONTRACTION(word) is None}
        if len(signed) < _SIGNED:
            return text
        bare = {word: _IN_WORD("", word) for word in signed}
        found = {word: meant for word, whole in bare.items() if (meant := self._whole(word, whole))}
        if len(found) < max(_SIGNED, _SHARE_SIGNED * len(signed)):
            return text
        return _SIGNED_WORDS.sub(lambda word: found.get(word[0].lower(), word[0]), text)

    def rejoined(self, text: str, unknown: Collection[str]) -> str:
        """Return a text with its long words in one that were cut by a space.

        Args:
            text: The text.
            unknown: Its words that are not known, in lower case.
        """
        if not unknown or not self._may_be_cut(_lower_words(text), unknown):
            return text
        found = {cut for run in _RUNS_FOUND(text) for cut in self._cuts(run.lower().split(" "))}
        if len(found) < _CUT and MARKS.keys().isdisjoint(found):
            return text
        return _RUNS(lambda run: self._uncut(run[0]), text)

    def _may_be_cut(self, words: list[str], unknown: Collection[str]) -> bool:
        """Return whether an unknown word and its neighbours are a long word; it is quick."""
        known, padded = self.words, ["", "", *words, "", ""]
        for at in compress(range(len(words)), map({*unknown}.__contains__, words)):
            first, before, word, after, last = padded[at : at + 5]
            wholes = (
                before + word,
                word + after,
                first + before + word,
                before + word + after,
                word + after + last,
            )
            if not known.isdisjoint(wholes) and any(
                len(whole) >= _LONG and whole in known and whole != word for whole in wholes
            ):
                return True
        return False

    def _cuts(self, words: list[str]) -> Iterator[str]:
        """Yield the long words that neighbours are together, of which one is not frequent."""
        for parts in itertools.chain(
            itertools.pairwise(words), zip(words, words[1:], words[2:], strict=False)
        ):
            whole = "".join(parts)
            if len(whole) >= _LONG and whole in self.words and not self._are_words(*parts):
                yield whole

    def _uncut(self, run: str) -> str:
        """Return words with those in one that are a word together."""
        words, at = run.split(" "), 0
        lower = run.lower().split(" ")
        read: list[str] = []
        while at < len(words):
            size = next((size for size in (3, 2) if self._is_cut(lower[at : at + size], size)), 1)
            read.append("".join(words[at : at + size]))
            at += size
        return " ".join(read)

    def _is_cut(self, parts: list[str], size: int) -> bool:
        whole = "".join(parts)
        if len(parts) < size or len(whole) < _SHORTEST_CUT or whole not in self.words:
            return False
        return len(whole) >= _LONG or not self._are_words(*parts)

    def _are_words(self, *words: str) -> bool:
        """Return whether frequent words or single letters stand there, such as "double S"."""
        return all(len(word) == 1 or word in self.words for word in words)

    def _whole(self, signed: str, bare: str) -> str | None:
        if bare in self.words:
            return bare
        return self._with_other_letter(bare) if "*" in signed else None

    def _guess(self, word: str) -> str | None:
        return (
            self._without_repeats(word) or self._with_other_letter(word) or self._with_vowels(word)
        )

    def _with_other_letter(self, word: str) -> str | None:
        found = self._without_a_letter.get(hash(word))
        if found:
            return found
        for shorter in _shorter(word):
            if len(shorter) > SHORTEST and shorter in self.words:
                return shorter
            other = self._without_a_letter.get(hash(shorter))
            if other and len(other) == len(word):
                return other
        return None

    def _without_repeats(self, word: str) -> str | None:
        """Return the word that has some letter three times or more in a row."""
        if _STRETCHED.search(word) is None:
            return None
        once, twice = _STRETCHED.sub(r"\1", word), _STRETCHED.sub(r"\1\1", word)
        return next((found for found in (once, twice) if found in self.words), None)

    def _with_vowels(self, word: str) -> str | None:
        skeleton = _skeleton(word)
        told = len(skeleton) >= _CONSONANTS or len(skeleton) == len(word)
        return self._by_skeleton.get(hash(skeleton)) if told else None


def _may_be_signed(text: str) -> bool:
    """Return whether enough words of a text may have signs inside; it is quick."""
    signs = b" " + text.encode("ascii", "replace").translate(_SIGNS_AND_LETTERS)
    before_letters = signs.count(b"-a") - signs.count(b" -a") - signs.count(b" --a")
    return before_letters >= max(_SIGNED, text.count(" ") // _PER_SIGNED)


def _lower_words(text: str) -> list[str]:
    """Return the runs of Latin letters of a text, in lower case."""
    letters = text.lower().encode("ascii", "replace").translate(_LETTERS_ALONE)
    return letters.decode("ascii").split()


def _shorter(word: str) -> Iterator[str]:
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]


def _skeleton(word: str) -> str:
    """Return the consonants of a word, each once where it is repeated."""
    return _REPEATED(r"\1", _VOWELS("", word))
