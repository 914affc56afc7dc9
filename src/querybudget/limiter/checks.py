"""Checks of the figures that a program passes, before anything is charged by them.

What comes over HTTP is bounded by the adapters. A program's own `Call` and `Usage` may hold
anything: a negative figure would give a caller budget, and a wrong type would fail in the store.
"""

from __future__ import annotations

from querybudget.adapters.base import Call, Segment, Usage
from querybudget.adapters.request import MAX_CHOICES, MAX_LOGPROBS

MAX_FIGURE = 2**42
"""The largest figure: its µ-units fit the integers of any store."""

_NUMBERS = (
    ("items", 1, MAX_FIGURE),
    ("choices", 1, MAX_CHOICES),
    ("input_bytes", 0, MAX_FIGURE),
    ("input_tokens", 0, MAX_FIGURE),
    ("images", 0, MAX_FIGURE),
    ("logprobs", 0, MAX_LOGPROBS),
    ("prompt_logprobs", 0, MAX_LOGPROBS),
)
"""The numbers of a call, and the smallest and largest value of each."""

_TEXTS = ("operation", "model", "template")
_PARTS = (
    ("input", ("cached_input", "cache_write", "audio_input", "image_input")),
    ("cache_write", ("cache_write_1h",)),
    ("output", ("reasoning", "audio_output", "image_output")),
)
"""A figure of usage, and those that are a part of it."""

_FIGURES = (
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
    "cache_write_1h",
    "audio_input",
    "image_input",
    "audio_output",
    "image_output",
    "searches",
)


def check_call(call: object) -> None:
    """Check what a program says that a call asks.

    Raises:
        TypeError: It is no `Call`, or a member is of the wrong type.
        ValueError: A number is negative or too large, or a text is not Unicode.
    """
    if not isinstance(call, Call):
        raise _wrong_type("a call", call, Call)
    for name, smallest, largest in _NUMBERS:
        number = getattr(call, name)
        if type(number) is not int or not smallest <= number <= largest:
            raise _wrong_number(name, number, smallest, largest)
    bound = call.max_output
    if bound is not None and (type(bound) is not int or not 0 <= bound <= MAX_FIGURE):
        raise _wrong_number("max_output", bound, 0, MAX_FIGURE)
    for name in _TEXTS:
        _check_text(f"`Call.{name}`", getattr(call, name))
    if type(call.segments) is not tuple:
        raise _wrong_type("`Call.segments`", call.segments, tuple)
    for segment in call.segments:
        if type(segment) is not Segment:
            raise _wrong_type("each of `Call.segments`", segment, Segment)
        _check_text("the text of each of `Call.segments`", segment.text)
    for model in call.other_models:
        _check_text("each of `Call.other_models`", model)


def check_usage(usage: Usage) -> None:
    """Check usage that a program reports.

    Raises:
        TypeError: It is no `Usage`, or a figure is no whole number.
        ValueError: A figure is negative, too large, or larger than what it is a part of.
    """
    if type(usage) is not Usage:
        raise _wrong_type("usage", usage, Usage)
    total, cached, written = usage.input, usage.cached_input, usage.cache_write
    hour, output, reasoning = usage.cache_write_1h, usage.output, usage.reasoning
    heard, seen, searches = usage.audio_input, usage.image_input, usage.searches
    spoken, drawn = usage.audio_output, usage.image_output
    try:
        # One expression: every reported usage passes here.
        if (
            cached >= 0 <= hour <= written
            and cached + written <= total <= MAX_FIGURE
            and 0 <= reasoning <= output <= MAX_FIGURE
            and heard >= 0 <= seen
            and heard + seen <= total
            and spoken >= 0 <= drawn
            and spoken + drawn <= output
            and 0 <= searches <= MAX_FIGURE
            and type(total + cached + written + output + reasoning) is int
            and type(hour + heard + seen + spoken + drawn + searches) is int
        ):
            return
    except TypeError:
        pass
    raise _wrong_usage(usage)


def _wrong_usage(usage: Usage) -> Exception:
    for name in _FIGURES:
        figure = getattr(usage, name)
        if not isinstance(figure, int):
            return TypeError(
                f"`Usage.{name}` must be a whole number, found {type(figure).__name__}"
            )
        if figure < 0:
            return ValueError(f"usage cannot be negative, found {name}={figure}")
        if figure > MAX_FIGURE:
            return ValueError(f"`Usage.{name}` must be at most {MAX_FIGURE}, found {figure}")
    for whole, parts in _PARTS:
        for part in parts:
            if getattr(usage, part) > getattr(usage, whole):
                return ValueError(f"`Usage.{part}` is a part of `{whole}`, found {usage}")
    return ValueError(f"parts of a figure are larger together than it is, found {usage}")


def _wrong_number(name: str, number: object, smallest: int, largest: int) -> Exception:
    if type(number) is not int:
        return _wrong_type(f"`Call.{name}`", number, int)
    return ValueError(f"`Call.{name}` must be from {smallest} to {largest}, found {number}")


def _wrong_type(what: str, value: object, kind: type) -> TypeError:
    return TypeError(f"{what} must be of type {kind.__name__}, found {type(value).__name__}")


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str):
        raise _wrong_type(what, text, str)
    if not text.isascii():
        text.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
