"""Writes proposed figures into the text of a policy, and leaves the rest of it as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from querybudget.errors import PolicyError, SetupError
from querybudget.policy.load import load_text
from querybudget.policy.model import Budget, Policy
from querybudget.replay.proposal import Proposed
from querybudget.text import in_units, period
from querybudget.units import Algorithm, Unit

USUAL = """\
version: 1

# Callers in other logs have the same pseudonyms only if this is the secret that wrote them.
# secret: ${QUERYBUDGET_SECRET}

budgets:
"""
"""The beginning of a policy where none is given."""

BLOCKS = {
    "pace": """\
  - name: pace
    limit: 1 requests/minute
""",
    "day": """\
  - name: day
    limit: 1 requests/day
""",
    "tokens": """\
  - name: tokens
    limit: 1 tokens/day
""",
    "parallel": """\
  - name: parallel
    limit: 1 concurrent
""",
    "breadth": """\
  - name: breadth
    limit: 1 buckets/30 days
    price: {free: 0.5, cap: 10}
    then: {slow: 0.65, degrade: 0.85, refuse: 1}
    mode: shadow # look at whom it would disturb, and then enforce it
""",
}
"""Its budgets."""

_Edit = tuple[int, int, str]
"""Where a piece of the text begins and ends, and what comes in its place."""


def usual_text(names: Iterable[str] = tuple(BLOCKS)) -> str:
    """Return the text of a policy with these of `BLOCKS`."""
    return USUAL + "".join(BLOCKS[name] for name in names)


def limit_text(budget: Budget, limit: int) -> str:
    """Return a limit as a policy has it: ``60 requests/minute``."""
    quota = budget.quota
    if quota.algorithm is Algorithm.LEASE:
        return f"{in_units(limit)} {Unit.CONCURRENT}"
    return f"{in_units(limit)} {quota.unit.value}/{period(quota)}"


def rewritten(text: str, policy: Policy, proposals: Sequence[Proposed]) -> str:
    """Return the text of a policy with proposed figures in it.

    Args:
        text: The text.
        policy: What it says.
        proposals: One for each of its budgets.

    Raises:
        SetupError: The text has its figures where they cannot be replaced, behind an alias.
    """
    nodes = _budget_nodes(text)
    edits = {
        edit
        for budget, one, node in zip(policy.budgets, proposals, nodes, strict=True)
        for edit in _edits(text, node, budget, one)
    }
    for begin, end, new in sorted(edits, reverse=True):
        text = text[:begin] + new + text[end:]
    _check(text, proposals)
    return text


def _check(text: str, proposals: Sequence[Proposed]) -> None:
    try:
        found = {budget.name: budget.quota.limit for budget in load_text(text).budgets}
    except PolicyError:
        found = {}
    if any(one.limit and found.get(one.budget) != one.limit for one in proposals):
        raise SetupError(
            "expected the figures of each budget of the policy in their own places, found some that"
            " several share by an alias: write them out"
        )


def _budget_nodes(text: str) -> list[MappingNode]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    budgets = _members(root).get("budgets") if isinstance(root, MappingNode) else None
    if not isinstance(budgets, SequenceNode):
        raise SetupError("expected a policy with a list of budgets, found none")
    return [node for node in budgets.value if isinstance(node, MappingNode)]


def _members(node: MappingNode) -> dict[str, Node]:
    return {str(key.value): value for key, value in node.value}


def _edits(text: str, node: MappingNode, budget: Budget, one: Proposed) -> Iterator[_Edit]:
    members = _members(node)
    if one.limit:
        yield _replaced(members["limit"], limit_text(budget, one.limit))
        if "burst" in members:
            yield _replaced(members["burst"], in_units(one.limit))
    if one.shadow:
        yield from _set(text, node, {"mode": "shadow"})
    if one.free:
        yield from _set_in(text, node, "price", {"free": in_units(one.free)})
    if one.stages:
        stages = {name: in_units(start) for name, start in one.stages.items()}
        yield from _set_in(text, node, "then", stages)


def _set_in(text: str, node: MappingNode, key: str, figures: Mapping[str, str]) -> Iterator[_Edit]:
    """Set figures of a member that is a mapping, or is to become one."""
    member = _members(node).get(key)
    if isinstance(member, MappingNode):
        yield from _set(text, member, figures)
    elif member is None:
        yield from _set(text, node, {key: _flow(figures)})
    elif key == "price" and member.value in {"exponential", "b4b", "linear"}:
        yield _replaced(member, _flow({"curve": member.value, **figures}))


def _set(text: str, node: MappingNode, figures: Mapping[str, str]) -> Iterator[_Edit]:
    members = _members(node)
    for name, figure in figures.items():
        if name in members:
            yield _replaced(members[name], figure)
            continue
        key, value = node.value[0]
        if node.flow_style:
            end = value.end_mark.index
            yield end, end, f", {name}: {figure}"
        else:
            end = text.find("\n", value.end_mark.index)
            end = len(text) if end < 0 else end
            yield end, end, f"\n{' ' * key.start_mark.column}{name}: {figure}"


def _replaced(node: Node, new: str) -> _Edit:
    quoted = isinstance(node, ScalarNode) and node.style in {"'", '"'}
    return node.start_mark.index, node.end_mark.index, f'"{new}"' if quoted else new


def _flow(figures: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{name}: {figure}' for name, figure in figures.items())}}}"
