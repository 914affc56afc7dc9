"""`querybudget explain`: what a policy makes of one request, for a terminal or as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from querybudget.cli.explanation import Asked, Explained, Explanation, explained
from querybudget.policy.model import Policy
from querybudget.text import amount
from querybudget.units import MICRO, Unit

__all__ = ["explain"]


def explain(path: str, asked: Asked, *, as_json: bool) -> int:
    """Print what a policy makes of a request.

    Raises:
        PolicyError: The policy is wrong.
    """
    explanation = asyncio.run(explained(Policy.load(path), asked))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(explanation)).decode())
    else:
        print("\n".join(_lines(asked, explanation)))
    return 0


def _lines(asked: Asked, told: Explanation) -> Iterator[str]:
    yield f"{asked.method} {asked.path}: {told.verdict}, {told.because}"
    if told.operation:
        model = f" of {told.model}" if told.model else ""
        yield f"  call      {told.operation}{model}{', streamed' if told.stream else ''}"
        yield f"  caller    known by {told.identity}, of tier {told.tier}"
        yield f"  tokens    {told.tokens[0]} in, {told.tokens[1]} out: {told.estimated}"
    if told.looked:
        yield f"  about     {_about(told)}"
    for budget in told.budgets:
        yield ""
        yield from _budget(budget)
    yield ""
    yield "Decided for a caller who has used nothing yet; nothing was charged anywhere."


def _about(told: Explanation) -> str:
    if not told.embedded:
        return "unknown: it could not be embedded, so it counts no bucket and has no capability"
    return ", ".join(told.capabilities) or "none of the capabilities"


def _budget(told: Explained) -> Iterator[str]:
    shadow = ", shadow" if told.mode == "shadow" else ""
    yield f"  {told.name}: {told.limit}, {told.per}{shadow}"
    if not told.applies:
        yield f"    does not apply: {told.why_not}"
        return
    cost = _amount(told.cost, told.unit)
    certain = (
        f", of which {_amount(told.least, told.unit)} must fit" if told.least < told.cost else ""
    )
    new = ", where all that it asks is new" if told.unit == Unit.BUCKETS and told.cost else ""
    yield f"    costs {cost}{certain}{new}"
    if told.left is not None:
        fits = told.verdict == "admit"
        words = "fits, and leaves" if fits else "can never fit: there are no more than"
        yield f"    {words} {_amount(told.left, told.unit)}"


def _amount(value: float, unit: str) -> str:
    return amount(round(value * MICRO), Unit(unit))
