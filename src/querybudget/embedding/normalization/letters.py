"""Letters in disguise: look-alikes, styled and invisible ones, spaced ones, digits for letters."""

# ruff: noqa: RUF001 - letters that look like others are what this is about
from __future__ import annotations

import itertools
import re
import string
import unicodedata
from collections.abc import Callable, Mapping

_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\U000e0000-\U000e0fff"
)
"""Characters without a shape. Joiners (U+200C, U+200D) stay: words of Persian and Hindi need them.
"""

_STYLED = (
    "\u02b0-\u02b8\u02e0-\u02e4\u1d00-\u1dbf\u2071\u207f\u2090-\u209c\u2102\u2107\u210a-\u2115"
    "\u2118-\u211d\u2124\u2128-\u2131\u2133-\u2139\u2145-\u2149\u249c-\u24e9\uff21-\uff3a"
    "\uff41-\uff5a\ua730\ua731\U0001d400-\U0001d6a5\U0001f110-\U0001f169\U0001f170-\U0001f189"
)
"""Letters that Unicode keeps apart by their style."""

_OTHERS = "\u0370-\u03ff\u0400-\u052f\u0531-\u0587\u13a0-\u13f4"
_MIXED = f"[A-Za-z][{_OTHERS}]|[{_OTHERS}][A-Za-z]"
_MARK = "[\u0300-\u036f\u20d0-\u20ff]"
_STROKE = "[\u0334-\u0338\u035c-\u0362\u20d0-\u20ff]"
_PILE = f"(?<=[A-Za-z\u0400-\u052f]){_MARK}{{3,}}|(?<=[A-Za-z]){_STROKE}"
_BRAILLE = "\u2801-\u283f"

_DISGUISED = re.compile(f"[{_INVISIBLE}{_STYLED}{_BRAILLE}]|{_PILE}|{_MIXED}").search
_MAY_BE_DISGUISED = re.compile(
    f"[{_INVISIBLE}{_STYLED}{_BRAILLE}{_OTHERS}\u0300-\u036f\u20d0-\u20ff]"
).search
"""What any of it has: to look for one of some characters is much quicker."""
_TAGGED = re.compile("[\U000e0020-\U000e007e]").sub
_UNSEEN = re.compile(f"[{_INVISIBLE}]+").sub
_STYLE = re.compile(f"[{_STYLED}]").sub
_PILED = re.compile(f"{_MARK}+").sub
_IS_PILED = re.compile(_PILE).search
_WORD = re.compile(r"[^\W\d_]+").sub
_WORDS = re.compile(r"[^\W\d_]+").findall
_ARE_MIXED = re.compile(_MIXED).findall
_ARE_LATIN = re.compile("[A-Za-z]").findall
_ARE_OTHERS = re.compile(f"[{_OTHERS}]").findall
_ARE_SMALL = re.compile("[ᴀ-ᴢ]").search


def _table(pairs: str) -> dict[int, str]:
    return {ord(pair[0]): pair[1] for pair in pairs.split()}


_LOOK_ALIKES = _table(
    "аa еe оo рp сc уy хx іi јj ѕs ԁd һh ԛq ԝw вb кk мm нh тt ьb гr пn ёe ԍg ӏl "
    "АA ВB ЕE КK МM НH ОO РP СC ТT УY ХX ІI ЈJ ЅS Ԍg ԚQ ԜW ЗZ ЬB "
    "αa εe οo νv ιi κk τt υu χx ρp βb γy ηn ωw ϲc ϳj ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX "
    "օo սu հh ոn ցg յj զq ԼL ՍU ՕO ᎪA ᏴB ᏟC ᎠD ᎬE ᎻH ᎫJ ᏦK ᏞL ᎷM ᏢP ᎡR ᏚS ᎢT ᏙV ᏔW ᏃZ"
)
"""Letters of Cyrillic, Greek, Armenian and Cherokee that pass for Latin ones."""

_SMALL_CAPITALS = _table("ᴀa ʙb ᴄc ᴅd ᴇe ꜰf ɢg ʜh ɪi ᴊj ᴋk ʟl ᴍm ɴn ᴏo ᴘp ʀr ꜱs ᴛt ᴜu ᴠv ᴡw ʏy ᴢz")
_UPSIDE_DOWN = _table(
    "ɐa qb ɔc pd ǝe ɟf ƃg ɓg ɥh ᴉi ıi ɾj ʞk ןl ɯm un dp bq ɹr ʇt nu ʌv ʍw ʎy ¿? ¡! ˙."
)
_FLIPPED = re.compile("[ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎ]").findall
_BRAILLE_LETTERS = dict(
    zip(
        map(ord, "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵⠲⠂⠦⠖⠀"),
        "abcdefghijklmnopqrstuvwxyz.,?! ",
        strict=True,
    )
)
_LEET = str.maketrans("03457@$|+(", "oeastasltc")
_LEET_WORD = re.compile(r"[A-Za-z0-9@$!|+(]+").sub
_LEET_SIGNS = bytes(
    ord("a")
    if chr(code) in string.ascii_letters
    else ord("1" if chr(code) in "013457@$!|" else " ")
    for code in range(256)
)
"""Letters as `a`, and digits and signs that may stand for some inside a word as `1`."""
_LEET_SIGN = re.compile(r"[01345789@$|+(]|!(?=[A-Za-z0-9])").search
_EITHER = re.compile("[1!89]")
_READINGS = {"1": "il", "!": "i", "8": "b", "9": "g"}
_ALONE = "[A-Za-z\u00c0-\u024f\u0370-\u052f]"
_SEPARATED = re.compile(
    rf"(?<!\w){_ALONE}(?:[ \t.*_~/|\u00b7\u2022-]{{1,3}}{_ALONE}(?!\w)){{4,}}"
).sub
_BETWEEN = re.compile(r"[^\w\n]+")
_SOLID = re.compile(r"(?<!\w)[a-z]{32,}(?!\w)").sub
_CAPITALS = (0x1F150, 0x1F170)  # white letters in black circles and squares
_HAS_GREEK = re.compile("[\u0370-\u03ff]").search
_LAST_LATIN = "\u024f"
_LEAST = 3  # words by which a manner of writing is recognised, or signs
_SPELT = 6  # letters of what was spelt out, at least
LONGEST_WORD = 14  # letters of a word that is looked for in text without spaces
BEGINNING = 4  # letters by which longer words are looked for


def with_run(
    size: int, signs: str, between: str = "", *, others: bool = False
) -> Callable[[str], bool]:
    """Return what tells cheaply whether a text may hold a run of some characters.

    Args:
        size: Characters of the run.
        signs: These characters, of ASCII.
        between: Characters of ASCII that do not interrupt it.
        others: Whether characters beyond ASCII may be among them.
    """
    if others:
        signs += "?"  # stands for all of them
    table = bytes(chr(code) in signs for code in range(256))
    run, dropped = b"\1" * size, between.encode()

    def may_hold(text: str) -> bool:
        return run in text.encode("ascii", "replace").translate(table, dropped)

    return may_hold


def seen(text: str, knows: Callable[[str], bool]) -> str:
    """Return a text with the letters that its readers see: no look-alikes, styles, piled marks."""
    if text.isascii() or _MAY_BE_DISGUISED(text) is None or _DISGUISED(text) is None:
        return text
    text = _UNSEEN("", _TAGGED(lambda tag: chr(ord(tag[0]) - 0xE0000), text))
    if _ARE_SMALL(text):
        text = text.translate(_SMALL_CAPITALS)
    text = _STYLE(_without_style, text)
    if _IS_PILED(text):
        text = _PILED("", text)
    mixed = len(_ARE_MIXED(text))
    if mixed and len(_ARE_LATIN(text)) > len(_ARE_OTHERS(text)):
        text = _WORD(_alike(knows, certain=mixed >= _LEAST), text)
    return text.translate(_BRAILLE_LETTERS)


def upright(text: str, knows: Callable[[str], bool]) -> str | None:
    """Return text that was turned upside down, or None if it was not."""
    if text.isascii() or len(_FLIPPED(text)) < _LEAST:
        return None
    turned = text[::-1].translate(_UPSIDE_DOWN)
    words = [word for word in _WORDS(turned.lower()) if len(word) > _LEAST]
    return turned if 2 * sum(map(knows, words)) > len(words) else None


def spelt_out(text: str, knows: Callable[[str], bool], begins: Mapping[str, int]) -> str:
    """Return a text with its spaced letters joined to words: ``h e l l o``, ``h-e-l-l-o``."""

    def joined(run: re.Match[str]) -> str:
        between = _BETWEEN.findall(run[0])
        usual = max(dict.fromkeys(between), key=between.count)
        words = _BETWEEN.sub(lambda sign: "" if sign[0] == usual else " ", run[0])
        if " " not in words:
            words = apart(words, knows, begins)
        known = sum(len(word) for word in words.lower().split() if _says(word, knows))
        return words if known >= max(_SPELT, len(words) // 2) else run[0]

    return _SEPARATED(joined, text)


def _says(word: str, knows: Callable[[str], bool]) -> bool:
    return len(word) >= _LEAST and knows(word)


def apart(letters: str, knows: Callable[[str], bool], begins: Mapping[str, int]) -> str:
    """Return letters without spaces as the words that they most likely are.

    Args:
        letters: The letters.
        knows: Returns whether a word is known.
        begins: The first `BEGINNING` letters of known words of the Latin alphabet, and how long the
            longest of them is. No longer word is looked for: in letters at random, that is nearly
            everywhere.
    """
    lower, size = letters.lower(), len(letters)
    bounded = lower.isascii()
    scores, lengths = [0] * (size + 1), [1] * (size + 1)  # of each beginning, and its last word
    for start in range(size):
        score = scores[start]
        beginning = lower[start : start + BEGINNING]
        last = start + (begins.get(beginning, BEGINNING - 1) if bounded else LONGEST_WORD)
        for end in range(start + 2, min(size, last) + 1):
            length = end - start
            reached = score + length * length
            if reached >= scores[end] and knows(lower[start:end]):
                scores[end], lengths[end] = reached, length
        if score >= scores[start + 1]:
            scores[start + 1], lengths[start + 1] = score, 1
    words: list[str] = []
    end = size
    while end:
        words.append(letters[end - lengths[end] : end])
        end -= lengths[end]
    return " ".join(reversed(words))


def with_spaces(text: str, knows: Callable[[str], bool], begins: Mapping[str, int]) -> str:
    """Return a text with spaces put into long runs of letters that are made of words."""

    def spaced(run: re.Match[str]) -> str:
        words = apart(run[0], knows, begins)
        parts = set(words.split())
        long = len(parts) > _LEAST and len(run[0]) > _LEAST * words.count(" ")
        return words if long and all(map(knows, parts)) else run[0]

    return _SOLID(spaced, text) if _MAY_BE_SOLID(text) else text


def unleeted(text: str, knows: Callable[[str], bool]) -> str:
    """Return a text with letters for the digits and signs that stand for them: ``h3ll0``."""
    if text.encode("ascii", "replace").translate(_LEET_SIGNS).count(b"a1a") < _LEAST:
        return text
    found: set[str] = set()
    shortest = _LEAST

    def read(word: re.Match[str]) -> str:
        if _LEET_SIGN(word[0]) is None:
            return word[0]
        for reading in _readings(word[0].lower().translate(_LEET)):
            if reading.isalpha() and len(reading) >= shortest and knows(reading):
                if len(reading) > _LEAST:
                    found.add(reading)
                return reading
        return word[0]

    _LEET_WORD(read, text)
    if len(found) < max(_LEAST, text.count(" ") // 4):
        return text
    shortest = 1
    return _LEET_WORD(read, text)


def _readings(word: str) -> list[str]:
    signs = _EITHER.findall(word)
    if not signs:
        return [word]
    choices = [_READINGS[sign] for sign in signs]
    if len(choices) > _LEAST:
        choices = [choice[:1] for choice in choices]
    parts = _EITHER.split(word)
    return [
        "".join(itertools.chain(*zip(parts, (*letters, ""), strict=True)))
        for letters in itertools.product(*choices)
    ]


def _without_style(sign: re.Match[str]) -> str:
    code = ord(sign[0])
    for first in _CAPITALS:
        if first <= code < first + 26:
            return chr(ord("A") + code - first)
    return unicodedata.normalize("NFKC", sign[0]).strip("()")


def _alike(knows: Callable[[str], bool], *, certain: bool) -> Callable[[re.Match[str]], str]:
    """Return what spells a word of look-alikes in Latin letters, if it is one."""

    def plain(word: re.Match[str]) -> str:
        found = word[0]
        latin = found.translate(_LOOK_ALIKES)
        if found.isascii() or found == latin or max(latin) > _LAST_LATIN:
            return found
        short_greek = len(found) < _LEAST and _HAS_GREEK(found)  # a quantity: μm, Δx
        if (certain and not short_greek) or (len(latin) > _LEAST and knows(latin.lower())):
            return latin
        return found

    return plain


_MAY_BE_SOLID = with_run(32, string.ascii_lowercase)
