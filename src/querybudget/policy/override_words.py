"""Overrides as a policy's author writes them, and the reader of them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Annotated, cast

from msgspec import Struct

from querybudget.errors import PolicyError, PolicyProblem
from querybudget.notation import LARGEST, brief
from querybudget.overrides import ANY_BUDGET, Effect, Override
from querybudget.policy.decode import read
from querybudget.policy.diagnostics import Entries, Items, Node, Path, Problems, Scalar
from querybudget.policy.fields import Duration, Factor, Text, doc, is_function_path, written
from querybudget.policy.model import Partition, ResolverSpec
from querybudget.policy.moment import moment
from querybudget.policy.naming import CallerName, NamedOverride, OverrideSource
from querybudget.text import listed, nearest
from querybudget.units import MICRO, SECOND, Micros, Millionths, Unit

MAX_FILE = 16 << 20
"""Bytes of a file of overrides."""

_PLAIN = ("user", "api_key", "address", "account")
_NAMED = ("header", "claim", "partition")
_EFFECTS = ("limit", "factor", "amount", "allow", "block")

_Amount = Annotated[
    tuple[int, Unit | None],
    written("burst", "an amount such as `20`", "number string", 20, "100k tokens"),
]
_Pairs = dict[str, Text]


class OverrideFile(Struct, frozen=True, rename={"source": "from"}):
    """What changes for one caller or pool, or where more such changes are read."""

    user: Annotated[Text, doc("A user that authentication finds.")] | None = None
    api_key: Annotated[Text, doc("A key, for example `${ACME_KEY}`.")] | None = None
    address: Annotated[Text, doc("An address.")] | None = None
    account: Annotated[Text, doc("Part of an account's key, as logs show it.")] | None = None
    header: Annotated[_Pairs, doc("A header to its value.")] = {}
    claim: Annotated[_Pairs, doc("A claim to its value.")] = {}
    partition: Annotated[_Pairs, doc("A partition to the name of a pool in it.")] = {}
    budget: Annotated[str, doc("A budget or a unit; all by default.")] = ANY_BUDGET
    limit: Annotated[_Amount, doc("The limit in its place.")] | None = None
    factor: Annotated[Factor, doc("The factor on the limit.")] | None = None
    amount: Annotated[_Amount, doc("What is added to the limit.")] | None = None
    allow: Annotated[bool, doc("Count apart, and refuse nothing.")] = False
    block: Annotated[bool, doc("Refuse every call.")] = False
    until: Annotated[str, doc("When it ends, such as `2026-12-31T18:00Z`.")] | None = None
    reason: Annotated[str, doc("Why, for operators.")] = ""
    source: Annotated[str, doc("A YAML, JSON or CSV file of overrides.")] | None = None
    callable: Annotated[str, doc("`package.module:function` that returns overrides.")] | None = None
    refresh: Annotated[Duration, doc("How often the function is called.")] = 60 * SECOND


class OverridesFile(Struct, frozen=True):
    """A file of overrides."""

    overrides: tuple[OverrideFile, ...] = ()


class Known(Struct, frozen=True):
    """What overrides may name.

    Attributes:
        budgets: The policy's budgets, and what each counts.
        identity: How it identifies callers.
        partitions: Its partitions.
    """

    budgets: Mapping[str, Unit]
    identity: Sequence[ResolverSpec]
    partitions: Mapping[str, Partition]

    def names(self, kind: str, name: str = "") -> bool:
        """Return True if callers or pools are named by this."""
        kind = "client_address" if kind == "address" else kind
        pools = (partition.resolver for partition in self.partitions.values())
        return any((each.kind, each.name) == (kind, name) for each in (*self.identity, *pools))


def overrides(
    written: Sequence[OverrideFile], known: Known, problems: Problems, path: Path = ("overrides",)
) -> tuple[tuple[NamedOverride, ...], tuple[OverrideSource, ...]]:
    """Build overrides and the sources of more."""
    named: list[NamedOverride] = []
    sources: list[OverrideSource] = []
    several = isinstance(problems.root, Entries) and isinstance(
        problems.root.nodes.get("overrides"), Items
    )
    for index, each in enumerate(written):
        place = (*path, index) if several else path
        if each.source is not None or each.callable is not None:
            if (source := _source(each, place, problems)) is not None:
                sources.append(source)
        elif (one := _named(each, place, known, problems, index)) is not None:
            named.append(one)
    return tuple(named), tuple(sources)


def read_overrides(
    source: str, known: Known, environ: Mapping[str, str] | None = None
) -> tuple[NamedOverride, ...]:
    """Read a file of overrides: YAML, JSON, or CSV with the words in its first line.

    Raises:
        PolicyError: It cannot be read, or says something that cannot be.
    """
    from querybudget.policy.yaml_nodes import from_text  # noqa: PLC0415 - it loads a parser

    problems = Problems(source)
    try:
        with FilePath(source).open("rb") as stream:
            text = stream.read(MAX_FILE + 1).decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        problem = PolicyProblem(source, 0, "", f"cannot read {source}: {reason}")
        raise PolicyError((problem,)) from None
    except ValueError:
        raise problems.stop((), "expected text in UTF-8, found other bytes") from None
    if len(text) > MAX_FILE:
        raise problems.stop((), f"expected at most {MAX_FILE} bytes, found more", 0)
    environ = os.environ if environ is None else environ
    if source.lower().endswith(".csv"):
        node: Node = _from_csv(text, problems)
    else:
        node = from_text(text, environ, problems)
    return _only_named(node, known, problems)


def called_overrides(
    returned: object, name: str, known: Known
) -> tuple[NamedOverride | Override, ...]:
    """Read what a function of the operator's returned: overrides, or mappings of their words.

    Raises:
        PolicyError: It returned something else.
    """
    from querybudget.policy.yaml_nodes import from_mapping  # noqa: PLC0415 - it loads a parser

    problems = Problems(name)
    if not isinstance(returned, Sequence) or isinstance(returned, str | bytes):
        message = f"expected a list of overrides, found {type(returned).__name__}"
        raise problems.stop((), message, 0)
    given = cast("Sequence[object]", returned)
    ready = [each for each in given if isinstance(each, Override)]
    rest = [each for each in given if not isinstance(each, Override)]
    node = from_mapping({"overrides": rest}, {}, problems)
    return (*ready, *_only_named(node, known, problems))


def _only_named(node: Node, known: Known, problems: Problems) -> tuple[NamedOverride, ...]:
    if isinstance(node, Items):
        node = Entries({"overrides": node}, node.line, {"overrides": node.line})
    problems.root = node
    written = read(OverridesFile, node, problems)
    named, sources = overrides(written.overrides, known, problems)
    if sources:
        problems.add(("overrides",), "expected overrides, found another source of them")
    problems.stop_if_any()
    return named


def _source(each: OverrideFile, path: Path, problems: Problems) -> OverrideSource | None:
    words = set(problems.keys(path)) - {"from", "callable", "refresh"}
    if words:
        message = f"expected nothing beside a source, found `{min(words)}`"
        problems.add((*path, min(words)), message)
    if each.source is not None and each.callable is not None:
        problems.add(path, "expected `from` or `callable`, found both")
    if each.callable is None:
        if not (each.source or "").strip():
            problems.add((*path, "from"), "expected a path, found nothing")
            return None
        return OverrideSource(each.source or "", called=False, refresh=each.refresh)
    if not is_function_path(each.callable):
        found = "expected a function such as `package.module:function`"
        problems.add((*path, "callable"), f"{found}, found {brief(each.callable)}")
        return None
    return OverrideSource(each.callable, called=True, refresh=each.refresh)


def _named(
    each: OverrideFile, path: Path, known: Known, problems: Problems, index: int
) -> NamedOverride | None:
    who = _caller(each, path, known, problems)
    budget = _budget(each, path, known, problems)
    effect = _effect(each, path, problems)
    until = moment(each.until, (*path, "until"), problems)
    if who is None:
        return None
    entry = Override(
        f"policy:{problems.source}:{index}",
        "",
        budget,
        effect,
        each.limit[0] if each.limit else 0,
        Millionths(MICRO if each.factor is None else each.factor),
        each.amount[0] if each.amount else 0,
        Micros(until),
        reason=each.reason,
    )
    return NamedOverride(who, entry)


def _budget(each: OverrideFile, path: Path, known: Known, problems: Problems) -> str:
    """Return which budgets an override is for.

    If it names none, these are all budgets that count the unit of its limit or amount.
    """
    if each.budget not in {ANY_BUDGET, *known.budgets, *Unit}:
        near = nearest(each.budget, [*known.budgets, *Unit])
        found = f"expected a budget or a unit, found {brief(each.budget)}{near}"
        problems.add((*path, "budget"), found)
        return each.budget
    budget = each.budget
    counted = known.budgets.get(budget) or (None if budget == ANY_BUDGET else Unit(budget))
    for word, given in (("limit", each.limit), ("amount", each.amount)):
        unit = given[1] if given else None
        if unit is None:
            continue
        if counted is None:
            counted, budget = unit, unit.value
            if unit not in known.budgets.values():
                said = f"expected a unit that a budget counts, found `{unit}`"
                problems.add((*path, word), said)
        elif unit is not counted:
            said = f"expected `{counted}`, which {brief(budget)} counts, found `{unit}`"
            problems.add((*path, word), said)
    return budget


def _caller(each: OverrideFile, path: Path, known: Known, problems: Problems) -> CallerName | None:
    """Return whom an override is for; None where that is wrong, which is noted."""
    found = [CallerName(kind, getattr(each, kind)) for kind in _PLAIN if getattr(each, kind)]
    for kind in _NAMED:
        found += [CallerName(kind, value, name) for name, value in getattr(each, kind).items()]
    if len(found) != 1:
        if not problems.wrong(path):
            words = listed([*_PLAIN, *_NAMED])
            problems.add(path, f"expected exactly one of {words}, found {len(found)}")
        return None
    who = found[0]
    if who.kind == "header":
        who = CallerName("header", who.value, who.name.lower())
    if who.kind == "partition":
        if who.name not in known.partitions:
            near = nearest(who.name, known.partitions)
            message = f"expected one of the policy's partitions, found {brief(who.name)}{near}"
            problems.add((*path, "partition", who.name), message)
    elif who.kind != "account" and not known.names(who.kind, who.name):
        message = f"expected what `identity` or a partition names callers by, found `{who.kind}`"
        problems.add((*path, who.kind), message)
    return who


def _effect(each: OverrideFile, path: Path, problems: Problems) -> Effect:
    values = {word: getattr(each, word) for word in _EFFECTS}
    given = [word for word, value in values.items() if value is not None and value is not False]
    if not given and not problems.wrong(path):
        problems.add(path, f"expected one of {listed(_EFFECTS)}, found none of them")
    alone = [word for word in ("block", "allow") if word in given]
    if alone and len(given) > 1:
        problems.add(path, f"expected `{alone[0]}` alone, found `{given[0]}` beside it")
    if each.block and each.budget != ANY_BUDGET:
        problems.add((*path, "budget"), "expected no budget: a blocked caller is refused by all")
    if each.factor == 0:
        message = "expected a factor above zero, found 0 (`block: true` refuses every call)"
        problems.add((*path, "factor"), message)
    if (each.factor or 0) > LARGEST:
        problems.add((*path, "factor"), "expected a smaller factor")
    return Effect.BLOCK if each.block else Effect.ALLOW if each.allow else Effect.LIMIT


def _from_csv(text: str, problems: Problems) -> Node:
    """Read rows whose words are in the first line; ``claim.org.id`` is the claim ``org.id``."""
    reader = csv.reader(text.splitlines())
    rows: Iterator[list[str]] = iter(reader)
    words = [word.strip() for word in next(rows, list[str]())]
    if not any(words):  # as a file is before its writer has written
        raise problems.stop((), "expected a line of words such as `user,factor`, found nothing", 1)
    items: list[Node] = []
    for row in rows:
        line = reader.line_num
        nodes: dict[str, Node] = {}
        for word, cell in zip(words, row, strict=False):
            if value := cell.strip():
                kind, dot, name = word.partition(".")
                scalar: Node = Scalar(_cell(word, value), value, line)
                nodes[kind] = Entries({name: scalar}, line, {name: line}) if dot else scalar
        if nodes:
            items.append(Entries(nodes, line, dict.fromkeys(nodes, line)))
    node = Items(tuple(items), 1)
    problems.root = node
    return node


def _cell(word: str, value: str) -> str | bool:
    return value.lower() == "true" if word in {"allow", "block"} else value
