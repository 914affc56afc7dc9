"""Checks of the arguments that tests pass: not every test is type-checked."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

from querybudget.text import nearest


def check_text(value: object, what: str, *examples: str) -> None:
    """Check that an argument is text.

    Args:
        value: The argument.
        what: What it is, for the message.
        examples: How it is written.

    Raises:
        TypeError: It is something else.
    """
    __tracebackhide__ = True
    if not isinstance(value, str):
        such = f" such as {' or '.join(map(repr, examples))}" if examples else ""
        raise TypeError(f"expected {what}{such}, found {value!r}")


def check_number(
    value: Any,  # noqa: ANN401 - tests pass what they like
    what: str,
    *,
    whole: bool = False,
    signed: bool = False,
) -> None:
    """Check that an argument is a number, and not below zero.

    Args:
        value: The argument.
        what: What it is, for the message.
        whole: Whether it has no fraction.
        signed: Whether it may be below zero.

    Raises:
        TypeError: It is something else.
        ValueError: It is below zero, or not a number that can be compared.
    """
    __tracebackhide__ = True
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        raise TypeError(f"expected {what}, found {value!r}")
    if not (signed or float(value) >= 0):
        raise ValueError(f"expected {what} of at least 0, found {value!r}")


def check_budget(name: object, known: Collection[str], what: str) -> None:
    """Check that an argument names a budget of a policy.

    Args:
        name: The argument.
        known: Names of the policy's budgets.
        what: The argument's own name.

    Raises:
        TypeError: It is not text.
        LookupError: There is no such budget.
    """
    __tracebackhide__ = True
    check_text(name, f"`{what}` as the name of one budget")
    if name not in known:
        near = nearest(str(name), known)
        raise LookupError(
            f"the policy has no budget {name!r}{near}: it has {', '.join(sorted(known))}"
        )
