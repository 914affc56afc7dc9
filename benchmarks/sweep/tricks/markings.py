"""The same task with other marks around and between its words, or spelt in codes."""

from __future__ import annotations

import base64
import gzip
import json
import re
import string
from collections.abc import Callable

from benchmarks.sweep.tricks.scene import Scene, Trick, text_of_each

__all__ = ["MARKINGS"]

_FIRST_REGIONAL = 0x1F1E6
_PIECE = 5  # characters of a quoted piece
_LONG_WORD, _WORDS = re.compile(r"\b(\w{2})(\w{3,})"), re.compile(r"\w+")


def _of(name: str, change: Callable[[str], str]) -> Trick:
    return text_of_each(name, lambda text, _: change(text))


def _identified(text: str, scene: Scene) -> str:
    return f"request {scene.draw.getrandbits(128):032x}: {text}"


def _ended_by_random(text: str, scene: Scene) -> str:
    return f"{text} #{''.join(scene.draw.choices(string.ascii_letters, k=22))}"


def _linked(text: str, scene: Scene) -> str:
    links = (f"[{word}](http://e.org/{scene.draw.randrange(10**6)})" for word in text.split())
    return " ".join(links)


def _with_digits(text: str, scene: Scene) -> str:
    words = text.split()
    halves = [(word[: len(word) // 2], word[len(word) // 2 :]) for word in words]
    return " ".join(
        f"{start}{scene.draw.randrange(10)}{end}" if len(start) > 1 else start + end
        for start, end in halves
    )


def _with_signs(text: str, scene: Scene) -> str:
    sign = scene.draw.choice("|/`,(^")
    return _LONG_WORD.sub(rf"\1{sign}\2", text)


def _logged(text: str, scene: Scene) -> str:
    return "\n".join(
        f"2026-11-{scene.draw.randrange(10, 29)}T11:{scene.draw.randrange(10, 60)}Z INFO {word}"
        for word in text.split()
    )


def _regional(text: str) -> str:
    return " ".join(
        "\u200b".join(
            chr(_FIRST_REGIONAL + ord(sign) - ord("a")) if sign in string.ascii_lowercase else sign
            for sign in word
        )
        for word in text.lower().split()
    )


def _in_pieces(text: str) -> str:
    pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
    return f"print({' + '.join(map(repr, pieces))})"


def _places(word: str) -> str:
    letters = (sign for sign in word if sign in string.ascii_lowercase)
    return "-".join(str(ord(sign) - ord("a") + 1) for sign in letters)


MARKINGS = (
    text_of_each("identifier_in_front", _identified),
    text_of_each("random_letters_behind", _ended_by_random),
    text_of_each("words_as_links", _linked),
    text_of_each("digits_in_words", _with_digits),
    text_of_each("log_line_a_word", _logged),
    _of("apostrophe_in_words", lambda text: _LONG_WORD.sub(r"\1'\2", text)),
    text_of_each("sign_in_words", _with_signs),
    _of("word_and_its_mirror", lambda text: " ".join(f"{w} {w[::-1]}" for w in text.split())),
    _of("words_as_tags", lambda text: "".join(f"<{word}/>" for word in _WORDS.findall(text))),
    _of("pictures_between", lambda text: " \U0001f600 ".join(text.split())),
    _of("tag_a_word", lambda text: "".join(f"<w>{word}</w>" for word in text.split())),
    _of("latex_a_word", lambda text: " ".join(rf"\text{{{word}}}" for word in text.split())),
    _of("json_letters", lambda text: json.dumps([*text])),
    _of("quoted_pieces", _in_pieces),
    _of("regional_letters", _regional),
    _of("octal", lambda text: " ".join(f"{code:03o}" for code in text.encode())),
    _of("places_in_alphabet", lambda text: " ".join(map(_places, text.lower().split()))),
    _of("code_calls", lambda text: "+".join(f"chr({ord(sign)})" for sign in text)),
    _of(
        "gzip_base64",
        lambda text: base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode(),
    ),
)
