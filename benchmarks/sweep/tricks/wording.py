"""The same task in other letters: codes, ciphers, spelling, alphabets."""

from __future__ import annotations

import base64
import codecs
import random
import re
from collections.abc import Callable
from html import escape
from urllib.parse import quote

from benchmarks.sweep.tricks.scene import Scene, Trick, text_of_each

__all__ = ["WORDINGS", "unknown_script"]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_LOOKALIKE = str.maketrans("aceopxyiACEHKMOPTXB", "асеорхуіАСЕНКМОРТХВ")  # noqa: RUF001 - Cyrillic letters that look Latin
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_BOLD = {
    **{ord("a") + n: 0x1D41A + n for n in range(26)},
    **{ord("A") + n: 0x1D400 + n for n in range(26)},
}
_MORSE = dict(
    zip(
        _LETTERS + "0123456789",
        [
            ".-",
            "-...",
            "-.-.",
            "-..",
            ".",
            "..-.",
            "--.",
            "....",
            "..",
            ".---",
            "-.-",
            ".-..",
            "--",
            "-.",
            "---",
            ".--.",
            "--.-",
            ".-.",
            "...",
            "-",
            "..-",
            "...-",
            ".--",
            "-..-",
            "-.--",
            "--..",
            "-----",
            ".----",
            "..---",
            "...--",
            "....-",
            ".....",
            "-....",
            "--...",
            "---..",
            "----.",
        ],
        strict=True,
    )
)
_ATBASH = str.maketrans(_LETTERS + _LETTERS.upper(), _LETTERS[::-1] + _LETTERS[::-1].upper())
_CAESAR = str.maketrans(
    _LETTERS + _LETTERS.upper(),
    _LETTERS[7:] + _LETTERS[:7] + (_LETTERS[7:] + _LETTERS[:7]).upper(),
)


_LONG_WORD = re.compile("[A-Za-z]{5,}").sub
_LONGER_WORD = re.compile("[A-Za-z]{7,}").sub
_WORD = re.compile("[a-z']+").sub
_SOUNDS = re.compile("th|sh|ing|[aeiou]").sub
_PHONETIC: dict[str, str] = dict(
    zip(
        ("a", "e", "i", "o", "u", "th", "sh", "ing"),
        ("ə", "ɛ", "ɪ", "ɔ", "ʊ", "ð", "ʃ", "iŋ"),  # noqa: RUF001 - letters of phonetics
        strict=True,
    )
)
_HEARD = (
    ("tion", "shun"), ("ough", "uff"), ("ight", "ite"), ("ould", "ud"), ("ph", "f"), ("ck", "k"),
    ("wh", "w"), ("qu", "kw"), ("x", "ks"), ("ce", "se"), ("ci", "si"), ("ea", "ee"), ("kn", "n"),
    ("ou", "ow"), ("th", "f"),
)  # fmt: skip
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {
    letter: row[max(0, at - 1) : at] + row[at + 1 : at + 2]
    for row in _ROWS
    for at, letter in enumerate(row)
}
_SHORT_FORMS = """
    you:u are:r your:ur you're:ur please:pls today:2day tomorrow:2moro to:2 too:2 for:4 before:b4
    great:gr8 because:bc with:w without:w/o people:ppl what:wat the:da that:dat this:dis and:n be:b
    see:c why:y know:kno about:abt really:rly something:smth message:msg thanks:thx through:thru
    though:tho want:wanna going:gonna give:gimme write:rite explain:xplain example:eg between:btwn
    would:wud could:cud should:shud have:hav following:followin make:mk text:txt sentence:sentnce
    question:q answer:ans how:hw when:wen where:wher here:hr one:1 two:2 some:sum love:luv good:gd
    from:frm is:iz
"""
_SLANG = {word: short for word, _, short in (pair.partition(":") for pair in _SHORT_FORMS.split())}
_TOLD = (
    "hey so my boss asked me this and i have no idea, {} - what would you say to that?",
    "i was sitting with my sister and we got stuck on it. {} can you help us out a bit?",
    "ok i tried this myself but i am not sure about mine. {} what do you think?",
    "my friend sent me this one and i said i would ask you. {} thanks, you are the best",
    "i keep coming back to this, it bugs me: {} any idea what i should do with it?",
)


def _substitution(seed: str) -> dict[int, int]:
    mixed = list(_LETTERS)
    random.Random(seed).shuffle(mixed)
    return str.maketrans(_LETTERS + _LETTERS.upper(), "".join(mixed) + "".join(mixed).upper())


_SUBSTITUTED = _substitution("alphabet")


def unknown_script(text: str) -> str:
    """Return a text as if in a language that no model knows: letter for letter in another script.

    Words, their lengths and repetitions stay; digits and marks too. Latin letters become Georgian,
    all other letters become syllables of Cherokee, drawn by their code.
    """
    return "".join(_other_letter(one) for one in text.lower())


def _other_letter(one: str) -> str:
    if "a" <= one <= "z":
        return chr(0x10D0 + ord(one) - ord("a"))
    return chr(0x13A0 + ord(one) * 31 % 85) if one.isalpha() else one


def _morse(text: str) -> str:
    words = text.lower().split()
    return " / ".join(" ".join(_MORSE.get(one, one) for one in word) for word in words)


def _pig_latin(text: str) -> str:
    return " ".join(word[1:] + word[:1] + "ay" if word.isalpha() else word for word in text.split())


def _zero_width(text: str) -> str:
    return "".join(
        one + "\u200b" if one.isalpha() and n % 3 == 0 else one for n, one in enumerate(text)
    )


def _mistyped(text: str, draw: random.Random) -> str:
    """Return the text with two neighbouring letters exchanged in every other word."""
    words = text.split(" ")
    for place, word in enumerate(words):
        if len(word) > 3 and draw.random() < 0.5:
            at = draw.randrange(1, len(word) - 2)
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def _slip(kind: str, word: str, draw: random.Random) -> str:
    """Return a word with one slip of a typist in it, behind its first letter."""
    at = draw.randrange(1, len(word) - 1)
    if kind == "swapped":
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == "dropped":
        return word[:at] + word[at + 1 :]
    if kind == "doubled":
        return word[: at + 1] + word[at:]
    beside = _BESIDE.get(word[at].lower(), word[at])
    return word[:at] + draw.choice(beside) + word[at + 1 :]


def _slips(kind: str, share: float) -> Callable[[str, random.Random], str]:
    """Return what makes a slip in a share of the words of five letters or more."""

    def slipped(text: str, draw: random.Random) -> str:
        return _LONG_WORD(
            lambda word: _slip(kind, word[0], draw) if draw.random() < share else word[0], text
        )

    return slipped


def _hyphened(word: re.Match[str]) -> str:
    """Return a word with a hyphen after each three letters."""
    return "-".join(word[0][at : at + 3] for at in range(0, len(word[0]), 3))


def _cut(word: re.Match[str], draw: random.Random) -> str:
    """Return a word with a space somewhere behind its third letter."""
    at = draw.randint(3, len(word[0]) - 3)
    return f"{word[0][:at]} {word[0][at:]}"


def _as_it_sounds(text: str) -> str:
    text = text.lower()
    for written, heard in _HEARD:
        text = text.replace(written, heard)
    return text


def _words_cut(text: str, draw: random.Random) -> str:
    return _LONGER_WORD(lambda word: _cut(word, draw), text)


def _in_phonetics(text: str) -> str:
    """Return a text with letters of phonetics for its vowels, "th", "sh" and "ng"."""
    return _SOUNDS(lambda sound: _PHONETIC.get(sound[0], sound[0]), text.lower())


def _in_slang(text: str) -> str:
    """Return a text as typed on a phone: short forms, and no capitals."""
    return _WORD(lambda word: _SLANG.get(word[0], word[0]), text.lower())


def _framed_slips(text: str, draw: random.Random) -> str:
    """Return a text with slips, told by somebody who has been asked it."""
    return draw.choice(_TOLD).format(_slips("swapped", 0.2)(text, draw))


def _every_word_new(text: str, draw: random.Random) -> str:
    return " ".join(
        word + draw.choice(_LETTERS) * (draw.random() < 0.3) for word in text.split(" ")
    )


def _of(name: str, change: Callable[[str], str]) -> Trick:
    return text_of_each(name, lambda text, _: change(text))


def _drawn(name: str, change: Callable[[str, random.Random], str]) -> Trick:
    def changed(text: str, scene: Scene) -> str:
        return change(text, scene.draw)

    return text_of_each(name, changed)


WORDINGS = (
    _of("base64", lambda text: base64.b64encode(text.encode()).decode()),
    _of("base32", lambda text: base64.b32encode(text.encode()).decode()),
    _of("hex", lambda text: text.encode().hex()),
    _of("percent_encoded", lambda text: quote(text, safe="")),
    _of("unicode_escapes", lambda text: "".join(f"\\u{ord(one):04x}" for one in text)),
    _of("html_entities", lambda text: "".join(f"&#{ord(one)};" for one in escape(text))),
    _of("rot13", lambda text: codecs.encode(text, "rot13")),
    _of("caesar_7", lambda text: text.translate(_CAESAR)),
    _of("atbash", lambda text: text.translate(_ATBASH)),
    _of("substituted", lambda text: text.translate(_SUBSTITUTED)),
    _of("reversed", lambda text: text[::-1]),
    _of("words_reversed", lambda text: " ".join(text.split()[::-1])),
    _of("letters_of_words_reversed", lambda text: " ".join(w[::-1] for w in text.split())),
    _of("leet", lambda text: text.translate(_LEET)),
    _of("spaced", " ".join),
    _of("dotted", ".".join),
    _of("confusables", lambda text: text.translate(_LOOKALIKE)),
    _of("full_width", lambda text: text.translate(_WIDE)),
    _of("mathematical_letters", lambda text: text.translate(_BOLD)),
    _of("zero_width", _zero_width),
    _of("morse", _morse),
    _of("pig_latin", _pig_latin),
    _of("upper_case", str.upper),
    _of(
        "lower_case_bare", lambda text: "".join(o for o in text.lower() if o.isalnum() or o == " ")
    ),
    _of("no_spaces", lambda text: "".join(text.split())),
    _of("no_vowels", lambda text: "".join(one for one in text if one not in "aeiouAEIOU")),
    _of("unknown_script", unknown_script),
    _drawn("mistyped", _mistyped),
    _drawn("letters_added", _every_word_new),
    _drawn("swapped_fifth", _slips("swapped", 0.2)),
    _drawn("swapped_third", _slips("swapped", 1 / 3)),
    _drawn("dropped_fifth", _slips("dropped", 0.2)),
    _drawn("doubled_fifth", _slips("doubled", 0.2)),
    _drawn("key_beside_fifth", _slips("beside", 0.2)),
    _drawn("dropped_everywhere", _slips("dropped", 1)),
    _drawn("key_beside_everywhere", _slips("beside", 1)),
    _of("hyphens_inside", lambda text: _LONG_WORD(_hyphened, text)),
    _of("ipa_vowels", _in_phonetics),
    _drawn("words_cut", _words_cut),
    _of("as_it_sounds", _as_it_sounds),
    _of("slang", _in_slang),
    _drawn("slang_swapped", lambda text, draw: _in_slang(_slips("swapped", 0.2)(text, draw))),
    _drawn("frame_swapped", _framed_slips),
)
