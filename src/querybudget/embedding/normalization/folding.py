"""Undoes what hides a text from a reader of words but not from a model.

Folding is exact: a text is replaced only by the readable words that it decodes to, or by the
letters that its look-alikes stand for. Ordinary text of any language comes back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from querybudget.embedding.normalization import (
    codes,
    letters,
    marks,
    phonetic,
    slang,
    sound,
    spelling,
    wordplay,
)
from querybudget.embedding.normalization.ciphers import Cipher, cipher_of
from querybudget.embedding.normalization.data import without_data
from querybudget.embedding.normalization.decoding import decoded
from querybudget.embedding.normalization.words import Reader

LONGEST = 4_000
"""Characters of a text that are folded; the rest stays as it is."""

_ROUNDS = 4  # encodings in each other that are undone
_UNREAD = 0.4  # share of known letters below which a text may be ciphered
_PARTS = re.compile(r"[^\n.:!?]+[\n.:!?]*|[\n.:!?]+").findall
_READ = 0.6  # share of known letters of a text between whose words something stood
_GAIN = 0.3  # share of known letters that a part must gain by being deciphered


class Folder:
    """Folds texts, and tells what is no language.

    Args:
        reader: Reads words.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @property
    def is_prepared(self) -> bool:
        """Whether `prepare` was called."""
        return self._reader.is_prepared

    def prepare(self) -> None:
        """Make the tables of words, a quarter of a second that their first use takes otherwise."""
        self._reader.prepare()

    def fold(self, text: str) -> str:
        """Return what a text says once nothing hides it; most often, the text itself."""
        return self.fold_and_check(text)[0]

    def fold_and_check(self, text: str) -> tuple[str, bool]:
        """Return what `fold` returns, and whether that is surely ordinary text."""
        if len(text) > LONGEST:
            return self.fold_and_check(text[:LONGEST])[0] + text[LONGEST:], False
        text = marks.unmarked(codes.spelt(text, self._reader.knows), self._reader.knows)
        for _ in range(_ROUNDS):
            before = text
            text = letters.seen(text, self._reader.knows)
            if phonetic.may_be(text):
                text = phonetic.respelt(text, self._reader.mender.words)
            text = self._unnumbered(text)
            unknown = self._reader.unknown_if_plain(text)
            if unknown is not None:
                joined = self._reader.mender.joined(text)
                if joined != text:
                    text, unknown = joined, self._reader.unknown(joined)
                return self._corrected(text, unknown, plain=True), True
            text = self._unfolded(without_data(text))
            if text == before:
                break
        return self._corrected(text, self._reader.unknown(text), plain=False), False

    def is_language(self, text: str) -> bool:
        """Return whether a folded text is one in some language, so that its words say something."""
        return self._reader.is_language(text)

    def _corrected(self, text: str, unknown: Collection[str], *, plain: bool) -> str:
        """Return a text with its misspelt words and short forms as they are meant."""
        bare = marks.without_identifiers(text)
        if bare != text:
            text, unknown = bare, self._reader.unknown(bare)
        if not unknown:
            return text
        joined = self._reader.mender.rejoined(text, unknown)
        if joined != text:
            text, unknown = joined, self._reader.unknown(joined)
        text = slang.spelt_out(text, unknown)
        text = spelling.corrected(text, unknown, self._reader.by_letters, plain=plain)
        mender = self._reader.mender
        read = mender.read(text, unknown)
        if read != text:
            return read
        return sound.respelt(text, unknown, self._reader.by_sound, mender.words)

    def _unfolded(self, text: str) -> str:
        """Return what a text says, if it is not surely ordinary text."""
        knows, begins = self._reader.knows, self._reader.begins
        before = text
        text = decoded(text)
        text = letters.upright(text, knows) or text
        text = letters.spelt_out(text, self._reader.reads, begins)
        text = letters.with_spaces(text, knows, begins)
        read = self._reader.share(text)
        if read < _UNREAD:
            text = self._spaced(text)
        if text != before:
            return text
        text = spelling.with_vowels(text, self._reader.by_consonants)
        text = self._reader.mender.joined(text)
        if text != before:
            return text
        text = letters.unleeted(text, knows)
        if self._reader.is_readable(text):
            return text
        return self._deciphered(text, read if text == before else self._reader.share(text))

    def _respelt(self, text: str) -> str:
        """Return a text with the known words that it spells in another order or alphabet."""
        if text.isascii():
            return wordplay.unshuffled(text, self._reader.by_inner_letters)
        return wordplay.romanised(text, self._reader.by_letter_sounds, self._reader.knows)

    def _unnumbered(self, text: str) -> str:
        """Return a text without the numbers of its words, if it has such."""
        bare = wordplay.unnumbered(text)
        return bare if bare != text and self._reader.share(bare) >= _READ else text

    def _spaced(self, text: str) -> str:
        """Return a text with spaces between its words, if there were none."""
        spaced = wordplay.with_spaces_throughout(text, self._reader.knows, self._reader.begins)
        return spaced if spaced == text or self._reader.share(spaced) >= _READ else text

    def _deciphered(self, text: str, read: float) -> str:
        """Decipher a text, or the stretches of it that are not readable.

        Args:
            text: The text.
            read: The share of its letters that is known.
        """
        stretches = [(text, True)] if read < _UNREAD else self._stretches(text)
        if not any(unread for _, unread in stretches):
            return text
        cipher = cipher_of(text, self._reader.knows, self._reader.by_shift) or self._respelt
        return "".join(
            self._accepted(part, cipher) if unread else part for part, unread in stretches
        )

    def _stretches(self, text: str) -> list[tuple[str, bool]]:
        """Return the stretches of a text that are readable, or not."""
        stretches: list[tuple[str, bool]] = []
        for part in _PARTS(text):
            unread = self._reader.share(part) < _UNREAD
            if stretches and stretches[-1][1] == unread:
                stretches[-1] = (stretches[-1][0] + part, unread)
            else:
                stretches.append((part, unread))
        return stretches

    def _accepted(self, text: str, cipher: Cipher) -> str:
        plain = cipher(text)
        return plain if self._reader.share(plain) >= self._reader.share(text) + _GAIN else text
