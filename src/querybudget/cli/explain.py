"""`querybudget explain`: what a policy makes of one request, for a terminal or as JSON."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import msgspec

from querybudget.cli.explanation import BudgetExplanation, Explanation, Request, explain_request
from querybudget.policy.model import Policy
from querybudget.text import amount
from querybudget.units import MICRO, Unit

__all__ = ["explain"]


def explain(path: str, request: Request, *, as_json: bool) -> int:
    """Print what the policy at `path` makes of a request.

    Returns:
        The exit status: 0 whatever the verdict, 1 if the body cannot be read.

    Raises:
        PolicyError: The policy is wrong.
    """
    explanation = asyncio.run(explain_request(Policy.load(path), request))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(explanation)).decode())
    else:
        print("\n".join(_lines(request, explanation)))
    if not explanation.body_error:
        return 0
    print("querybudget: the request's body cannot be read", file=sys.stderr)
    return 1


def _lines(request: Request, explanation: Explanation) -> Iterator[str]:
    yield f"{request.method} {request.path}: {explanation.verdict}, {explanation.because}"
    if explanation.body_error:
        yield f"  body      cannot be read. {explanation.body_error}"
        yield "            The call counts on every budget of its path, at the highest price."
    if explanation.operation:
        model = f" of {explanation.model}" if explanation.model else ""
        stream = ", streamed" if explanation.stream else ""
        tokens = explanation.tokens
        yield f"  call      {explanation.operation}{model}{stream}"
        yield f"  caller    identified by {explanation.identity}, tier {explanation.tier}"
        yield f"  tokens    {tokens[0]} in, {tokens[1]} out: {explanation.estimated}"
    if explanation.looked:
        yield f"  about     {_about(explanation)}"
    for budget in explanation.budgets:
        yield ""
        yield from _budget_lines(budget)
    yield ""
    yield "Decided for a caller with no usage yet. Nothing was charged."


def _about(explanation: Explanation) -> str:
    if not explanation.embedded:
        return "unknown: it could not be embedded, so it counts no bucket and has no capability"
    return ", ".join(explanation.capabilities) or "none of the capabilities"


def _budget_lines(budget: BudgetExplanation) -> Iterator[str]:
    shadow = ", shadow" if budget.mode == "shadow" else ""
    yield f"  {budget.name}: {budget.limit}, {budget.per}{shadow}"
    if not budget.applies:
        yield f"    does not apply: {budget.why_not}"
        return
    must = f", of which {_amount(budget.least, budget)} must fit"
    certain = must if budget.least < budget.cost else ""
    new = " if all of them are new" if budget.unit == Unit.BUCKETS and budget.cost else ""
    yield f"    costs {_amount(budget.cost, budget)}{certain}{new}"
    if budget.left is not None:
        outcome = "fits and leaves" if budget.verdict == "admit" else "can never fit: the limit is"
        yield f"    {outcome} {_amount(budget.left, budget)}"


def _amount(value: float, budget: BudgetExplanation) -> str:
    return amount(round(value * MICRO), Unit(budget.unit))
