"""What `querybudget explain` prints on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from querybudget.cli.explanation import BudgetExplanation, Explanation, Reads, Request
from querybudget.identity import ANONYMOUS
from querybudget.paths import readings
from querybudget.text import amount
from querybudget.units import MICRO, Unit

_REFERENCE = "reference"  # stands for what was looked at when it was sent


def lines(request: Request, explanation: Explanation) -> Iterator[str]:
    """Yield the lines that explain a request on a terminal."""
    yield from _call_lines(f"{request.method} {request.path}", explanation)
    if others := readings(request.path)[1:]:
        yield f"  path      may be read as {' or '.join(others)} too; all of them are budgeted"
    if explanation.message:
        yield ""
        yield from _call_lines("each message", explanation.message)
    yield ""
    yield "Decided for a caller with no usage yet. Nothing was charged."


def _call_lines(title: str, explanation: Explanation) -> Iterator[str]:
    yield f"{title}: {explanation.verdict}, {explanation.because}"
    if explanation.body_error:
        yield f"  body      cannot be read. {explanation.body_error}"
        yield "            The call counts on every budget of its path, at the highest price."
    if explanation.operation:
        model = f" of {explanation.model}" if explanation.model else ""
        stream = ", streamed" if explanation.stream else ""
        tokens, known = explanation.tokens, f"identified by {explanation.identity}"
        if explanation.identity == ANONYMOUS:
            known = "not identified (the shared anonymous account)"
        yield f"  call      {explanation.operation}{model}{stream}"
        newcomer = " (a newcomer, without `--age` and the like)" if explanation.newcomer else ""
        yield f"  caller    {known}, tier {explanation.tier}{newcomer}"
        yield f"  tokens    {tokens[0]} in, {tokens[1]} out: {explanation.estimated}"
    if reads := "; ".join(_reading(explanation.reads)):
        yield f"  reads     {reads}"
    if any(explanation.reads.looked) or explanation.reads.buckets:
        yield f"  looked at {_looking(explanation.reads)}"
    if explanation.looked:
        yield f"  about     {_about(explanation)}"
    for budget in explanation.budgets:
        yield ""
        yield from _budget_lines(budget)


def _reading(reads: Reads) -> Iterator[str]:
    """What the model reads, one part for each channel, and what cannot be read."""
    for (texts, characters), verb in ((reads.said, "said"), (reads.fed, "given to it")):
        if texts:
            plural = "text" if texts == 1 else "texts"
            yield f"{texts} {plural} {verb}, {characters:,} characters"
    if reads.opaque:
        held = ", ".join(f"{count} of {kind}" for kind, count in reads.opaque.items())
        yield f"not readable: {held}"


def _looking(reads: Reads) -> str:
    said, fed = reads.looked
    chunks = "chunk" if said + fed == 1 else "chunks"
    parts = [f"{said + fed} {chunks}, {said} said and {fed} given to it"] if said + fed else []
    if reads.opaque.keys() - {_REFERENCE}:
        parts.append(f"{'' if parts else 'only '}what is not readable, as it is")
    buckets = "bucket" if reads.buckets == 1 else "buckets"
    return f"{'; '.join(parts)}; for a new caller, {reads.buckets} {buckets} of new ground"


def _about(explanation: Explanation) -> str:
    if not explanation.embedded and explanation.reads.opaque:
        return "unknown: it holds no text to embed, so it has no capability"
    if not explanation.embedded:
        return "unknown: it could not be embedded, so it counts no bucket and has no capability"
    return ", ".join(explanation.capabilities) or "none of the capabilities"


def _budget_lines(budget: BudgetExplanation) -> Iterator[str]:
    shadow = ", shadow" if budget.mode == "shadow" else ""
    yield f"  {budget.name}: {budget.limit}, {budget.per}{shadow}"
    if not budget.applies:
        yield f"    does not apply: {budget.why_not}"
        return
    if budget.unit == Unit.CONCURRENT and budget.verdict == "admit" and budget.left is not None:
        yield f"    takes {budget.cost:g} of {budget.cost + budget.left:g} places until it ends"
        return
    for words in budget.overrides:
        yield f"    override: {words}"
    if not budget.counted:
        yield "    costs nothing: the sweep score of the pool decides"
        return
    some = budget.least < budget.cost
    certain = f", of which {_amount(budget.least, budget)} must fit" if some else ""
    new = " if all of them are new" if budget.unit == Unit.BUCKETS and budget.cost else ""
    yield f"    costs {_amount(budget.cost, budget)}{certain}{new}"
    if budget.suspects:
        yield "    only if its population test touches the caller; anybody else spends none of it"
    if budget.left is not None:
        outcome = "fits and leaves" if budget.verdict == "admit" else "can never fit: the limit is"
        yield f"    {outcome} {_amount(budget.left, budget)}"


def _amount(value: float, budget: BudgetExplanation) -> str:
    return amount(round(value * MICRO), Unit(budget.unit))
