"""Reports of usage together: of the same answer, of its parts, and of several answers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from querybudget.adapters.base import Usage


def bounded(usage: Usage) -> Usage:
    """Return usage none of whose parts is larger than what it is a part of."""
    cached = min(usage.cached_input, usage.input)
    written = min(usage.cache_write, usage.input - cached)
    audio_input = min(usage.audio_input, usage.input)
    audio_output = min(usage.audio_output, usage.output)
    return Usage(
        input=usage.input,
        cached_input=cached,
        cache_write=written,
        output=usage.output,
        reasoning=min(usage.reasoning, usage.output),
        estimated=usage.estimated,
        cache_write_1h=min(usage.cache_write_1h, written),
        audio_input=audio_input,
        image_input=min(usage.image_input, usage.input - audio_input),
        audio_output=audio_output,
        image_output=min(usage.image_output, usage.output - audio_output),
        searches=usage.searches,
    )


def larger(before: Usage | None, report: Usage) -> Usage:
    """Return the larger of each figure of two reports of the same answer.

    It is another object than `before`, by which a meter sees that there was a report.
    """
    if before is None:
        return report
    return bounded(
        Usage(
            max(before.input, report.input),
            max(before.cached_input, report.cached_input),
            max(before.cache_write, report.cache_write),
            max(before.output, report.output),
            max(before.reasoning, report.reasoning),
            before.estimated or report.estimated,
            max(before.cache_write_1h, report.cache_write_1h),
            max(before.audio_input, report.audio_input),
            max(before.image_input, report.image_input),
            max(before.audio_output, report.audio_output),
            max(before.image_output, report.image_output),
            max(before.searches, report.searches),
        )
    )


def added(before: Usage | None, report: Usage) -> Usage:
    """Return the usage of two answers together; the report itself if it is the first."""
    return report if before is None else sum_of(before, report)


def sum_of(one: Usage, other: Usage) -> Usage:
    """Return the usage of two parts of a call together."""
    return Usage(
        one.input + other.input,
        one.cached_input + other.cached_input,
        one.cache_write + other.cache_write,
        one.output + other.output,
        one.reasoning + other.reasoning,
        one.estimated or other.estimated,
        one.cache_write_1h + other.cache_write_1h,
        one.audio_input + other.audio_input,
        one.image_input + other.image_input,
        one.audio_output + other.audio_output,
        one.image_output + other.image_output,
        one.searches + other.searches,
    )


def with_part(whole: Usage, part: Usage) -> Usage:
    """Add a choice's report: its output is its own, its prompt is everyone's."""
    both = larger(whole, part)
    return msgspec.structs.replace(
        both,
        output=whole.output + part.output,
        reasoning=whole.reasoning + part.reasoning,
        audio_output=whole.audio_output + part.audio_output,
        image_output=whole.image_output + part.image_output,
    )


def sum_of_parts(parts: Mapping[int, Usage]) -> Usage:
    """Return the usage of an answer whose choices report apart; empty parts are no usage."""
    whole = Usage()
    for part in parts.values():
        whole = with_part(whole, part)
    return whole
