"""From accounts to groups: evidence for each pair that could belong together, and what holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b

import msgspec

from querybudget.linking import displacement, territory, timing
from querybudget.linking.candidates import Candidate
from querybudget.linking.kinds import (
    LEAST,
    Evidence,
    Kind,
    Population,
    Tie,
    acts,
    capped,
    conduct,
    tie_weights,
)

PREFIX = "group:"
_NAME = 6


class Link(msgspec.Struct, frozen=True, gc=False):
    """An account that belongs to a group, and why.

    Attributes:
        account: Key of the identity.
        group: Key of the group's account.
        reasons: Kinds of evidence to nats, strongest first.
    """

    account: str
    group: str
    reasons: tuple[tuple[str, float], ...]


def links(
    members: Sequence[Candidate], present: Mapping[str, str], largest: int, now: int, decay: int
) -> list[Link]:
    """Return the accounts that belong to groups.

    The work grows with the accounts and with what each has in common with others, not with pairs.

    Args:
        members: All accounts that linking knows of.
        present: Accounts that are linked now to their groups: names stay.
        largest: Accounts in a group at most.
        now: Minutes since the epoch.
        decay: Minutes after which evidence of an account that calls no more weighs half.
    """
    graph = Graph(members, now, decay)
    own = sum(member.established for member in members)
    population = Population(own, len(members) - own)
    popular = territory.popularity(members)
    ties = {tie: [members[n] for n in found] for tie, found in _ties(members).items()}
    weights = {tie: tie_weights(shared, population) for tie, shared in ties.items()}
    numbers = _ties(members)
    behaviour: dict[int, dict[Kind, float]] = defaultdict(dict)
    for tie, shared in ties.items():
        _judge_tie(graph, tie, numbers[tie], shared, weights[tie], popular, behaviour)
    for pair, kind, weight in _pairs(members, ties, numbers, popular):
        graph.note(pair, kind, weight)
    graph.settle(weights, behaviour)
    return list(_named(graph, present, largest))


def _ties(members: Sequence[Candidate]) -> dict[Tie, list[int]]:
    """Return the numbers of the accounts of each tie that has at least two."""
    found: dict[Tie, list[int]] = defaultdict(list)
    for number, member in enumerate(members):
        for template in member.templates:
            found[Tie(Kind.TEMPLATE, template)].append(number)
        for mark in member.marks:
            found[Tie(Kind.ATTRIBUTE, mark)].append(number)
    return {tie: numbers for tie, numbers in found.items() if len(numbers) > 1}


def _judge_tie(
    graph: Graph,
    tie: Tie,
    numbers: Sequence[int],
    shared: Sequence[Candidate],
    weights: tuple[float, float],
    popular: territory.Popularity | None,
    behaviour: dict[int, dict[Kind, float]],
) -> None:
    """Link the accounts of a tie whose behaviour says that they act together."""
    tail, suspicion = conduct(shared)
    others = [at for at, member in enumerate(shared) if not member.established]
    apart = [0.0] * len(others)
    if popular is not None and len(others) >= territory.FEWEST and weights[0] >= LEAST:
        apart = territory.shared_out([shared[at] for at in others], popular)
    last = -1
    for at, rarity in zip(others, apart, strict=True):
        number, touched = numbers[at], tail and shared[at].tail >= tail
        found = {tie.kind: weights[1] if touched else weights[0]}
        if touched:
            found[Kind.CONDUCT] = suspicion
            kept = behaviour[number]
            kept[Kind.CONDUCT] = max(kept.get(Kind.CONDUCT, 0.0), suspicion)
        if rarity >= LEAST:
            found[Kind.GROUND] = capped(rarity)
        if acts(graph.decayed(found, number)):
            if last >= 0:
                graph.join(last, number, found)
            last = number


def _pairs(
    members: Sequence[Candidate],
    ties: Mapping[Tie, Sequence[Candidate]],
    numbers: Mapping[Tie, Sequence[int]],
    popular: territory.Popularity | None,
) -> Iterator[tuple[tuple[int, int], Kind, float]]:
    """Return pairs of accounts with evidence of behaviour."""
    for one, other in timing.pairs(members):
        if members[one].established or members[other].established:
            continue
        yield (one, other), Kind.TIMING, timing.synchrony(members[one], members[other])
    for tie, shared in ties.items():
        strength = displacement.weight(shared)
        for one, other in displacement.replacements(shared) if strength >= LEAST else ():
            yield (numbers[tie][one], numbers[tie][other]), Kind.DISPLACEMENT, strength
    strength = displacement.weight(members) if members else 0.0
    for one, other in displacement.replacements(members):
        yield (one, other), Kind.DISPLACEMENT, strength
        # Users of one application meet on its ground anyway.
        if popular is not None and not set(members[one].templates) & set(members[other].templates):
            weight = territory.taken_up(members[one], members[other], popular)
            yield (one, other), Kind.GROUND, weight


class Graph:
    """Accounts, and the links between them that hold.

    Args:
        members: The accounts.
        now: Minutes since the epoch.
        decay: Minutes after which evidence weighs half.
    """

    def __init__(self, members: Sequence[Candidate], now: int, decay: int) -> None:
        self.members = members
        self._now, self._decay = now, decay
        self._parents = list(range(len(members)))
        self._pairs: dict[tuple[int, int], dict[Kind, float]] = defaultdict(dict)
        self._why: dict[int, dict[Kind, float]] = defaultdict(dict)

    def decayed(self, evidence: Evidence, *numbers: int) -> Evidence:
        """Return evidence as it weighs now: less, the longer none of the accounts calls."""
        idle = min(self._now - self.members[number].seen for number in numbers)
        factor = 0.5 ** (max(0, idle) / self._decay)
        return {kind: weight * factor for kind, weight in evidence.items()}

    def note(self, pair: tuple[int, int], kind: Kind, weight: float) -> None:
        """Note that one kind of behaviour ties two accounts."""
        if weight >= LEAST:
            found = self._pairs[min(pair), max(pair)]
            found[kind] = max(found.get(kind, 0.0), capped(weight))

    def settle(
        self,
        weights: Mapping[Tie, tuple[float, float]],
        behaviour: Mapping[int, Mapping[Kind, float]],
    ) -> None:
        """Join the pairs for which all kinds together are enough.

        Args:
            weights: How much each tie weighs.
            behaviour: Of accounts that act together with others: of what kinds, and how much.
        """
        for (one, other), found in self._pairs.items():
            evidence = dict(found)
            ours, theirs = behaviour.get(one, {}), behaviour.get(other, {})
            for kind in ours.keys() & theirs.keys():
                evidence[kind] = max(evidence.get(kind, 0.0), min(ours[kind], theirs[kind]))
            for tie in _common(self.members[one], self.members[other]):
                weight = weights.get(tie, (0.0, 0.0))[Kind.CONDUCT in evidence]
                evidence[tie.kind] = max(evidence.get(tie.kind, 0.0), weight)
            if acts(self.decayed(evidence, one, other)):
                self.join(one, other, evidence)

    def join(self, one: int, other: int, evidence: Evidence) -> None:
        """Link two accounts."""
        self._parents[self._root(one)] = self._root(other)
        for number in (one, other):
            why = self._why[number]
            for kind, weight in evidence.items():
                if weight >= LEAST:
                    why[kind] = max(why.get(kind, 0.0), weight)

    def groups(self) -> Iterable[list[int]]:
        """Return the groups: numbers of their accounts."""
        found: dict[int, list[int]] = defaultdict(list)
        for number in self._why:
            found[self._root(number)].append(number)
        return found.values()

    def reasons(self, number: int) -> tuple[tuple[str, float], ...]:
        """Return why an account is linked, strongest first."""
        found = sorted(self._why[number].items(), key=lambda reason: -reason[1])
        return tuple((kind.value, round(weight, 2)) for kind, weight in found)

    def _root(self, number: int) -> int:
        """Return what stands for an account's group; each step halves the way (Tarjan, 1975)."""
        parents = self._parents
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number


def _common(one: Candidate, other: Candidate) -> Iterator[Tie]:
    """Return what two accounts have in common."""
    for template in set(one.templates) & set(other.templates):
        yield Tie(Kind.TEMPLATE, template)
    for mark in set(one.marks) & set(other.marks):
        yield Tie(Kind.ATTRIBUTE, mark)


def _named(graph: Graph, present: Mapping[str, str], largest: int) -> Iterator[Link]:
    """Return the links of all groups. A group that is too large is cut, by when accounts began."""
    taken: set[str] = set()
    for numbers in sorted(graph.groups(), key=len, reverse=True):
        numbers.sort(key=lambda number: (graph.members[number].began, graph.members[number].key))
        for start in range(0, len(numbers), largest):
            part = numbers[start : start + largest]
            if len(part) == 1:
                continue
            keys = [graph.members[number].key for number in part]
            name = _name(keys, present, taken)
            taken.add(name)
            for number, key in zip(part, keys, strict=True):
                yield Link(key, name, graph.reasons(number))


def _name(keys: Sequence[str], present: Mapping[str, str], taken: set[str]) -> str:
    """Return the name that most of a group's accounts have; a new one if they have none."""
    known = Counter(present[key] for key in keys if key in present)
    for name, _ in sorted(known.items(), key=lambda item: (-item[1], item[0])):
        if name not in taken:
            return name
    name = PREFIX + blake2b(min(keys).encode(), digest_size=_NAME, person=b"group").hexdigest()
    while name in taken:
        name = PREFIX + blake2b(name.encode(), digest_size=_NAME, person=b"group").hexdigest()
    return name
