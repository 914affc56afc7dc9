"""One call for several: the readings of one body, the models of one request, a batch's requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TypeVar

from msgspec.structs import replace

from querybudget.adapters.base import MAX_MODELS, UNREADABLE, Call

_T = TypeVar("_T")


def most_of(calls: Sequence[Call]) -> Call:
    """Return one call for several readings of a body: the most of each figure, and every model."""
    first = calls[0]
    if len(calls) == 1:
        return first
    bounds = [call.max_output for call in calls]
    bounded = [bound for bound in bounds if bound is not None]
    names = _names(calls)
    return replace(
        first,
        model=names[0],
        other_models=names[1:],
        items=max(call.items for call in calls),
        choices=max(call.choices for call in calls),
        max_output=max(bounded) if len(bounded) == len(bounds) else None,
        input_bytes=max(call.input_bytes for call in calls),
        input_tokens=max(call.input_tokens for call in calls),
        images=max(call.images for call in calls),
        logprobs=max(call.logprobs for call in calls),
        prompt_logprobs=max(call.prompt_logprobs for call in calls),
        generates=any(call.generates for call in calls),
        background=any(call.background for call in calls),
        stateful=any(call.stateful for call in calls),
        ambiguous=any(call.ambiguous or call.stream != first.stream for call in calls),
        any_model=any(call.any_model for call in calls),
        segments=_each_once(call.segments for call in calls),
        opaque=_each_once(call.opaque for call in calls),
    )


def copied(call: Call, copies: int) -> Call:
    """Return the call that asks the same of several models at once."""
    if copies == 1:
        return call
    return replace(
        call,
        items=call.items * copies,
        input_bytes=call.input_bytes * copies,
        input_tokens=call.input_tokens * copies,
        images=call.images * copies,
    )


def together(calls: Sequence[Call]) -> Call:
    """Return one call for all of a batch: the sum of what is asked, and every model.

    One of several operations, or of more models than are told apart, counts as one that cannot be
    read.
    """
    first, names = calls[0], _names(calls)
    answers = [call.items * call.choices for call in calls]
    bounds = [call.max_output for call in calls]
    bounded = sum(
        bound * count for bound, count in zip(bounds, answers, strict=True) if bound is not None
    )
    one_kind = len({call.operation for call in calls}) == 1 and len(names) <= MAX_MODELS
    return replace(
        first,
        operation=first.operation if one_kind else UNREADABLE,
        model=names[0],
        other_models=names[1:] if one_kind else (),
        items=sum(answers),
        choices=1,
        max_output=None if None in bounds else -(-bounded // sum(answers)),
        input_bytes=sum(call.input_bytes for call in calls),
        input_tokens=sum(call.input_tokens for call in calls),
        images=sum(call.images for call in calls),
        logprobs=max(call.logprobs for call in calls),
        prompt_logprobs=max(call.prompt_logprobs for call in calls),
        generates=any(call.generates for call in calls),
        any_model=any(call.any_model for call in calls),
        segments=_each_once(call.segments for call in calls),
        opaque=_each_once(call.opaque for call in calls),
    )


def _each_once(several: Iterable[tuple[_T, ...]]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(several)))


def _names(calls: Sequence[Call]) -> tuple[str, ...]:
    names = [name for call in calls for name in (call.model, *call.other_models)]
    return tuple(dict.fromkeys(filter(None, names))) or ("",)
