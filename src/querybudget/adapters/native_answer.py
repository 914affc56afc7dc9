"""Usage and text in the answers of servers' own APIs.

`SHAPES` is a table of where servers put their figures. An answer without them counts by the size of
its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from querybudget.adapters.base import Usage
from querybudget.adapters.members import JSON, Json, content_of, fold, folded, number
from querybudget.adapters.metering import AnswerTotals, tokens

MAX_ANSWERS = 1024
"""Answers of one call whose usage is kept apart."""

_NO_TEXT = frozenset(
    {
        "amazonbedrockinvocationmetrics",
        "citationmetadata",
        "context",
        "details",
        "error",
        "generationsettings",
        "groundingmetadata",
        "logprobs",
        "meta",
        "metainfo",
        "prompt",
        "promptfeedback",
        "safetyratings",
        "timings",
        "toptokens",
        "usage",
        "usagemetadata",
    }
)
"""Members of an answer that hold no generated text; llama.cpp repeats the prompt in one."""


class Shape(msgspec.Struct, frozen=True):
    """Where one server puts usage. Names are folded; several of one kind are added.

    Attributes:
        holder: Names that lead to the object with the figures, or to an array of such objects.
        input: Prompt tokens, cached ones included.
        output: Generated tokens.
        cached: Prompt tokens read from a cache, a part of ``input``.
        beside: Prompt tokens read from or written to a cache that ``input`` leaves out.
        written: Those of ``beside`` that were written.
        reasoning: Reasoning tokens, a part of ``output``.
    """

    holder: tuple[str, ...]
    input: tuple[str, ...]
    output: tuple[str, ...]
    cached: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()


SHAPES = (
    Shape(  # Gemini
        ("usagemetadata",),
        ("prompttokencount", "tooluseprompttokencount"),
        ("candidatestokencount", "thoughtstokencount"),
        cached=("cachedcontenttokencount",),
        reasoning=("thoughtstokencount",),
    ),
    Shape(("metainfo",), ("prompttokens",), ("completiontokens",), ("cachedtokens",)),  # SGLang
    Shape(("details", "bestofsequences"), (), ("generatedtokens",)),  # TGI's others of best_of
    Shape(("details",), ("inputlength",), ("generatedtokens",)),  # TGI
    Shape((), ("promptevalcount",), ("evalcount",)),  # Ollama
    Shape((), ("tokensevaluated",), ("tokenspredicted",)),  # llama.cpp
    Shape(("usage", "tokens"), ("inputtokens",), ("outputtokens",)),  # Cohere
    Shape(("usage", "billedunits"), ("inputtokens",), ("outputtokens",)),
    Shape(("meta", "tokens"), ("inputtokens",), ("outputtokens",)),
    Shape(("meta", "billedunits"), ("inputtokens",), ("outputtokens",)),
    Shape(("usage",), ("prompttokens",), ("completiontokens",)),
    Shape(  # Anthropic's and Bedrock's
        ("usage",),
        ("inputtokens",),
        ("outputtokens",),
        beside=("cachereadinputtokens", "cachewriteinputtokens", "cachecreationinputtokens"),
        written=("cachewriteinputtokens", "cachecreationinputtokens"),
    ),
    Shape(("usage",), ("totaltokens",), ()),
    Shape(("metadata", "usage"), ("inputtokens",), ("outputtokens",)),
    Shape(
        ("amazonbedrockinvocationmetrics",),
        ("inputtokencount",),
        ("outputtokencount",),
    ),
    Shape((), ("inputtexttokencount",), ("totaloutputtexttokencount",)),
    Shape((), ("prompttokencount",), ("generationtokencount",)),
)


class AnswerReader:
    """Reads one answer, event by event or whole.

    Servers that answer many prompts at once report each one's usage, by an id of its own; later
    figures of one id replace earlier ones.
    """

    __slots__ = ("_reports",)

    def __init__(self) -> None:
        self._reports: dict[str, Usage] = {}

    def read(self, data: bytes, totals: AnswerTotals) -> None:
        """Add one event, or a whole body, to `totals`."""
        if data.strip() == b"[DONE]":
            totals.complete = True
            return
        document = JSON.decode(data)
        answers = document if isinstance(document, list) else [document]
        for answer in answers:
            if isinstance(answer, dict):
                self._add(answer, totals)
            else:
                totals.output_bytes += content_of(answer).size

    def _add(self, answer: dict[str, Json], totals: AnswerTotals) -> None:
        text = content_of({k: v for k, v in answer.items() if fold(k) not in _NO_TEXT})
        if text.size:
            totals.output_bytes += text.size
            totals.complete = False
        found = usage_of(answer)
        if found is None:
            return
        name = _id(answer)
        if name in self._reports or len(self._reports) < MAX_ANSWERS:
            self._reports[name] = _larger(self._reports.get(name), found)
        totals.usage = _sum(self._reports.values())
        totals.complete = totals.complete or bool(found.output) or not text.size


def usage_of(answer: Json) -> Usage | None:
    """Return the usage that an answer, or one event of it, reports; None if it reports none."""
    found: Usage | None = None
    for shape in SHAPES:
        for holder in _holders(answer, shape.holder):
            members = folded(holder)
            if not any(number(v) is not None for n in _names(shape) for v in members.get(n, ())):
                continue
            report = _report(shape, members)
            found = report if found is None else _sum((found, report))
        if found is not None and shape.holder[-1:] != ("bestofsequences",):
            return found
    return found


def _names(shape: Shape) -> tuple[str, ...]:
    return shape.input + shape.output


def _holders(value: Json, steps: tuple[str, ...]) -> Iterator[Json]:
    if not steps:
        yield from value if isinstance(value, list) else (value,)
        return
    for member in folded(value).get(steps[0], ()):
        yield from _holders(member, steps[1:])


def _report(shape: Shape, members: dict[str, list[Json]]) -> Usage:
    def total(names: tuple[str, ...]) -> int:
        return sum(tokens(number(value)) for name in names for value in members.get(name, ()))

    beside, written = total(shape.beside), total(shape.written)
    prompt, output = total(shape.input) + beside, total(shape.output)
    return Usage(
        input=prompt,
        cached_input=min(total(shape.cached), prompt) + beside - written,
        cache_write=written,
        output=output,
        reasoning=min(total(shape.reasoning), output),
    )


def _id(answer: dict[str, Json]) -> str:
    """Return what tells one of many answers from the others; empty for a single one."""
    members = folded(answer)
    for meta in members.get("metainfo", ()):
        for name in folded(meta).get("id", ()):
            return str(name)[:100]
    index = members.get("index", [""])[0]
    return str(index)[:100] if "tokensevaluated" in members else ""


def _larger(before: Usage | None, now: Usage) -> Usage:
    """Merge two reports of one answer: figures are cumulative, or missing."""
    if before is None:
        return now
    return Usage(
        input=max(before.input, now.input),
        cached_input=max(before.cached_input, now.cached_input),
        cache_write=max(before.cache_write, now.cache_write),
        output=max(before.output, now.output),
        reasoning=max(before.reasoning, now.reasoning),
    )


def _sum(reports: Iterable[Usage]) -> Usage:
    kept = [*reports]
    return Usage(
        input=sum(one.input for one in kept),
        cached_input=sum(one.cached_input for one in kept),
        cache_write=sum(one.cache_write for one in kept),
        output=sum(one.output for one in kept),
        reasoning=sum(one.reasoning for one in kept),
    )
