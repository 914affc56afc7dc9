"""No regular expression in the package takes more than linear time, whatever text it is given."""

from __future__ import annotations

import ast
import pkgutil
import random
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import querybudget
from tests.growth.backtracking import Counter, TooManySteps, alphabet, witness

SHORT, LONG = 24, 96
"""Repetitions of what is repeated: four times as many take at most about four times the steps."""

SUBJECTS = 160
"""Texts tried with each expression."""

ENDS_AT_THE_FIRST: frozenset[str] = frozenset({"querybudget.policy.yaml_nodes._VARIABLE"})
"""Read the operator's own file, and stop with an error where they would begin to backtrack."""


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(querybudget.__path__, "querybudget."):
        if not found.name.endswith("__main__") and ".testing" not in found.name:
            yield import_module(found.name)


def values() -> Iterator[tuple[str, Any]]:
    """Every expression by its name, and every method of one that is kept by itself."""
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(getattr(value, "__self__", value), re.Pattern):
                yield f"{module.__name__}.{name}", value


def usage(name: str, value: Any) -> str:
    """How an expression is used: the method that looks at most of a text."""
    if not isinstance(value, re.Pattern):
        methods = {value.__name__}
    else:
        module, _, own = name.rpartition(".")
        source = Path(str(import_module(module).__file__)).read_text(encoding="utf-8")
        methods = set(re.findall(rf"\b{own}\.(\w+)", source))
    for method in ("fullmatch", "match"):
        if methods == {method}:
            return method
    return "search"


VALUES = dict(values())
EXPRESSIONS = {name: getattr(value, "__self__", value) for name, value in VALUES.items()}
USAGE = {name: usage(name, value) for name, value in VALUES.items()}


def steps(counter: Counter, text: str, how: str, most: int) -> int:
    counter.steps, counter.most = 0, most
    if how == "search":
        counter.find_all(text)
    else:
        counter.matches(text, whole=how == "fullmatch")
    return counter.steps


def subjects(counter: Counter, repeats: int, seed: int) -> list[str]:
    signs = alphabet(counter.parsed)
    example = witness(counter.parsed)
    beginnings = [example[:end] for end in range(len(example) + 1)][:24]
    draw = random.Random(seed)
    pumps = [*signs, *beginnings[1:], *(a + b for a in signs[:8] for b in signs[:8] if a != b)]
    combined = [(b, p, e) for b in beginnings for p in pumps for e in ("", signs[-1])]
    chosen = draw.sample(combined, min(SUBJECTS, len(combined)))
    return [begin + pump * repeats + end for begin, pump, end in chosen]


def worst_growth(pattern: re.Pattern[Any], how: str) -> tuple[float, str]:
    """The largest factor by which four times the text takes more steps, and that text."""
    worst, at = 0.0, ""
    counter = Counter(pattern, 50_000)
    short, long = subjects(counter, SHORT, 1), subjects(counter, LONG, 1)
    for small, large in zip(short, long, strict=True):
        try:
            before = steps(counter, small, how, 50_000) + 40  # an empty text takes a few steps too
            factor = steps(counter, large, how, 12 * before) / before
        except TooManySteps:
            return 12.0, large
        if factor > worst:
            worst, at = factor, large
    return worst, at


@pytest.mark.parametrize("name", sorted(EXPRESSIONS.keys() - ENDS_AT_THE_FIRST))
def test_an_expression_takes_linear_time_on_any_text(name: str) -> None:
    factor, text = worst_growth(EXPRESSIONS[name], USAGE[name])
    assert factor < 6, text


@pytest.mark.parametrize(
    "bad",
    [
        r"(?:^|\s)\(?A[).:]\s[^\n]{0,300}?\s+\(?B[).:]\s",
        r"://\S*@",
        r"(a+)+$",
        r"\s+$",
        r"(?:a|a)*b",
        r"\s*,\s*\Z",
    ],
)
def test_an_expression_that_backtracks_is_found(bad: str) -> None:
    assert worst_growth(re.compile(bad), "search")[0] > 6


@pytest.mark.parametrize("name", sorted(EXPRESSIONS))
def test_steps_are_counted_on_the_way_that_python_takes(name: str) -> None:
    """On texts that are made of what the expression tells apart."""
    pattern = EXPRESSIONS[name]
    counter = Counter(pattern, 10**7)
    draw = random.Random(name)
    example = witness(counter.parsed)
    pieces = [*alphabet(counter.parsed), example, example[: len(example) // 2]]
    for _ in range(60):
        text = "".join(draw.choices(pieces, k=draw.randint(0, 8)))
        if isinstance(pattern.pattern, bytes):
            text = text.encode("latin-1", "ignore").decode("latin-1")
            expected = [found.span() for found in pattern.finditer(text.encode("latin-1"))]
        else:
            expected = [found.span() for found in pattern.finditer(text)]
        assert counter.find_all(text) == expected, text


def test_every_expression_is_compiled_where_it_is_found() -> None:
    """At the top of a module and under a name of its own: here they are all looked up."""
    for path in Path(querybudget.__path__[0]).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = [
            node
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "re"
        ]
        used = {node.attr for node in inside}
        assert used <= {"Match", "Pattern"}, f"{path.name}: re.{used} inside a function or class"
