"""Texts that have been slow to read somewhere: each is a unit, repeated to any length."""

from __future__ import annotations

from collections.abc import Mapping

UNITS: Mapping[str, str] = {
    "one letter": "a",
    "letters": "a b c d e f g h ",
    "English": "How do I bake good bread at home, with little time and no oven? ",
    "made-up words": "qzjxkvwpyb zkqxvjhwpc wvxzqjkfgb ",
    "long words": "qzjxkvwpybzkqxvjhwpcwvxzqjkfgb" * 3 + " ",
    "digits": "0123456789",
    "long numbers": "9876543210" * 9 + " ",
    "spaces": " ",
    "wide spaces": "\u3000\u2003",
    "line breaks": "\n",
    "every white space": " \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2028\u2029\u205f\u3000",
    "options": " A. ",
    "options and spaces": "A. " + " " * 40,
    "options without end": " (A) x (B. ",
    "options on two lines": " A. x\n B. y",
    "accents on one letter": "\u0301",
    "accents out of order": "\u0315\u0300",
    "marks of many classes": "\u1dca\u1dce\u20d0\u0591\u0345\u3099",
    "half-width marks": "\uff9e\u0300",
    "zalgo": "z" + "\u0300\u0316\u0334\u035c" * 12,
    "signs that are sentences": "\ufdfa",
    "ligatures": "\ufb03\ufb04",
    "emoji": "\U0001f469\u200d\U0001f4bb\U0001f3fd\ufe0f",
    "flags": "\U0001f1e9\U0001f1ea",
    "Han": "\u8bf7\u89e3\u91ca\u6c34\u58f6\u4e3a\u4ec0\u4e48\u4f1a\u54cd",
    "rare Han": "\U00020000\U0002a6d6",
    "kana": "\u30ab\u30bf\u30ab\u30ca\u3072\u3089\u304c\u306a",
    "Thai": "\u0e01\u0e32\u0e19\u0e40\u0e23\u0e35\u0e22\u0e19",
    "Hangul": "\ud55c\uad6d\uc5b4\ub05d",
    "Arabic": "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645 ",
    "bidi": "\u202e\u2066a\u2069\u202c",
    "NUL": "\0",
    "controls": "".join(map(chr, range(1, 32))),
    "lone surrogates": "\ud800",
    "both surrogates": "\udc00\ud800",
    "sigmas": "\u03a3'",
    "dotted capitals": "\u0130",
    "sharp capitals": "\u1e9e",
    "quotes": "'\"",
    "quoted words": "'abcdefghijklmn ",
    "one quote and letters": "\"aaaaaaaaaaaaaaa'",
    "addresses": "://",
    "addresses with passwords": "redis://u:p@h ",
    "backslashes": "\\",
    "tildes": "~0~1",
    "brackets": "([{<",
    "variables": "${A:-",
    "act as": "Act as ",
    "code": "def f(x):\n\treturn x;\n",
    "commas": ",",
    "dots": ".",
    "escaped dots": "%2e%2e/",
    "percent": "%",
    "slashes": "/",
    "equals": "for=",
    "semicolons": ";",
    "base64": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=",
    "data lines": "data: x\n",
    "events": "data: {}\n\n",
    "carriage returns": "\r",
}
"""By what they are made of."""


def text(name: str, size: int) -> str:
    """The first `size` characters of a unit that is repeated."""
    unit = UNITS[name]
    return (unit * (size // len(unit) + 1))[:size]
