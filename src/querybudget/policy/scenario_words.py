"""Reads the tests of a policy, and finds what is wrong with them before they run."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from querybudget import notation
from querybudget.notation import brief
from querybudget.policy.build_identity import TOKEN
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.model import Budget
from querybudget.policy.moment import moment
from querybudget.policy.scenario import (
    DECISIONS,
    SOME,
    Expected,
    Scenario,
    ScenarioCaller,
    ScenarioCalls,
)
from querybudget.policy.scenario_file import CallerFile, CallsFile, ExpectFile, ScenarioFile
from querybudget.text import listed, nearest, wait

_WHOLE = {"body": ("model", "stream", "max_tokens"), "answer": ("output", "fails")}
"""What is given whole, and the keys that give a part of it."""

FEW = 8
"""More budgets than this are not listed where one is unknown."""


class Known(Struct, frozen=True):
    """What tests may name.

    Attributes:
        budgets: The policy's budgets by name.
        hold: µs after which a reservation expires.
    """

    budgets: Mapping[str, Budget]
    hold: int


def scenarios(
    written: tuple[ScenarioFile, ...], known: Known, problems: Problems
) -> tuple[Scenario, ...]:
    """Build the tests of a policy, noting what is wrong with them."""
    seen = set[str]()
    built: list[Scenario] = []
    for index, each in enumerate(written):
        path: Path = ("tests", index)
        name = "" if each.name is UNSET else each.name.strip()
        if each.name is not UNSET and (not name or name in seen):
            found = "it again" if name else "nothing"
            problems.add((*path, "name"), f"expected a name of its own, found {found}")
        seen.add(name)
        built.append(_scenario(name, each, path, known, problems))
    return tuple(built)


def _scenario(
    name: str, each: ScenarioFile, path: Path, known: Known, problems: Problems
) -> Scenario:
    calls = () if each.calls is UNSET else each.calls
    where = (*path, "calls")
    untested = each.calls is not UNSET and not any(one.expect for one in calls)
    if untested and not problems.wrong(where):
        problems.add(where, "expected `expect` in at least one of the calls, found none")
    _check_times(calls, where, problems)
    _check_callers(each.callers, calls, path, problems)
    return Scenario(
        name=name,
        line=problems.line((*path, "name")),
        mode=each.mode or "",
        start=moment(each.start, (*path, "start"), problems, zoned=True),
        callers={
            caller: _caller(one, (*path, "callers", caller), problems)
            for caller, one in each.callers.items()
        },
        calls=tuple(
            _calls(one, (*where, index), known, problems) for index, one in enumerate(calls)
        ),
    )


def _check_times(calls: tuple[CallsFile, ...], path: Path, problems: Problems) -> None:
    """Check that no calls begin before those that stand above them have all begun."""
    now = 0
    for index, one in enumerate(calls):
        if one.at is not None and one.at < now:
            where = (*path, index, "at")
            message = f"expected at least {wait(now)}, when the calls before it begin"
            problems.add(where, f"{message}, found {wait(one.at)}")
        now = max(now, one.at or 0) + one.every * ((one.sweep or one.times) - 1)


def _check_callers(
    callers: Collection[str], calls: tuple[CallsFile, ...], path: Path, problems: Problems
) -> None:
    """Check that each caller that is described makes calls."""
    calling = {one.caller for one in calls if one.caller}
    for name in callers:
        if calls and name not in calling:
            near = nearest(name, calling - {*callers})
            message = f"expected a caller of `calls`, found {brief(name)}, who makes none{near}"
            problems.add((*path, "callers", name), message)


def _caller(each: CallerFile, path: Path, problems: Problems) -> ScenarioCaller:
    if each.address:
        try:
            ipaddress.ip_address(each.address)
        except ValueError:
            message = f"expected an address such as `192.0.2.7`, found {brief(each.address)}"
            problems.add((*path, "address"), message)
    _check_headers(each.headers, path, problems)
    return ScenarioCaller(
        each.api_key,
        each.user,
        each.address,
        {name.lower(): value for name, value in each.headers.items()},
        _claims(each.claims, (*path, "claims"), problems),
        each.age,
        each.calls,
        each.spent,
        each.clean,
    )


def _claims(text: str, path: Path, problems: Problems) -> Mapping[str, Any]:
    try:
        claims: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        problems.add(path, "expected a mapping of claims such as `{org: {id: acme}}`, found none")
        return {}
    return claims


def _check_headers(headers: Collection[str], path: Path, problems: Problems) -> None:
    for name in headers:
        if not TOKEN.fullmatch(name):
            problems.add((*path, "headers", name), f"expected a header's name, found {brief(name)}")


def _calls(each: CallsFile, path: Path, known: Known, problems: Problems) -> ScenarioCalls:
    _check_calls(each, path, known, problems)
    times = each.sweep or each.times
    return ScenarioCalls(
        line=problems.line(path),
        caller=each.caller,
        at=each.at,
        times=times,
        every=each.every,
        lasts=each.lasts,
        method=each.method.upper(),
        path=each.path,
        headers={name.lower(): value for name, value in each.headers.items()},
        model=each.model,
        prompt=each.prompt,
        sweep=each.sweep is not None,
        max_tokens=each.max_tokens,
        stream=each.stream,
        body=each.body,
        input=each.input,
        output=each.output,
        answer=each.answer,
        fails=each.fails or 0,
        spent=each.spent,
        expected=_expected(each.expect, times, (*path, "expect"), known, problems)
        if each.expect
        else None,
    )


def _check_calls(each: CallsFile, path: Path, known: Known, problems: Problems) -> None:
    _check_beside(problems.keys(path), path, problems)
    if not each.path.startswith("/"):
        problems.add((*path, "path"), f"expected a path such as `/v1/chat`, found `{each.path}`")
    for key, text in (("body", each.body), ("answer", each.answer)):
        if text and not _is_json(text):
            problems.add((*path, key), f"expected JSON, found {brief(text)}")
    if each.lasts > known.hold:
        message = f"expected at most `hold`, {wait(known.hold)}, found {wait(each.lasts)}"
        problems.add((*path, "lasts"), message)
    _check_headers(each.headers, path, problems)
    _check_budgets(each.spent, (*path, "spent"), known, problems)
    for name, text in each.spent.items():
        try:
            if text.rstrip().endswith("%"):
                notation.share(text)
            else:
                notation.amount_of(text)
        except ValueError as error:
            problems.add((*path, "spent", name), str(error))


def _check_beside(keys: Collection[str], path: Path, problems: Problems) -> None:
    """Check that nothing is said twice."""
    asks = [key for key in ("body", "sweep", "prompt") if key in keys]
    if len(asks) > 1:
        problems.add((*path, asks[1]), f"expected `{asks[0]}` or `{asks[1]}`, found both")
    if "sweep" in keys and "times" in keys:
        problems.add((*path, "times"), "expected `times` or `sweep`, found both")
    pairs = [(whole, part) for whole, parts in _WHOLE.items() for part in parts]
    for whole, part in pairs:
        if whole in keys and part in keys:
            message = f"expected `{whole}` or `{part}`, found both: the first holds the second"
            problems.add((*path, part), message)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _expected(
    each: ExpectFile, times: int, path: Path, known: Known, problems: Problems
) -> Expected:
    written = {name: getattr(each, name) for name in DECISIONS}
    counts = {
        name: _count(text, times, (*path, name), problems)
        for name, text in written.items()
        if text is not None
    }
    for name in each.by:
        if name not in known.budgets:
            problems.add(problems.item((*path, "by"), name), _unknown(name, known.budgets))
    _check_uses(each, counts, times, path, problems)
    _check_budgets(each.charged, (*path, "charged"), known, problems)
    return Expected(
        counts=counts,
        by=each.by,
        wait=each.wait,
        over=each.over,
        status=each.status,
        charged={
            name: _amount(text, known.budgets[name], (*path, "charged", name), problems)
            for name, text in each.charged.items()
            if name in known.budgets
        },
    )


def _check_uses(
    each: ExpectFile, counts: Mapping[str, int], times: int, path: Path, problems: Problems
) -> None:
    """Check that what qualifies a decision stands beside one."""
    if problems.wrong(path):
        return
    if each.by and not counts.keys() & {"refused", "slowed", "degraded"}:
        message = "expected `refused`, `slowed` or `degraded` beside `by`, found none of them"
        problems.add((*path, "by"), message)
    if each.wait is not None and "refused" not in counts:
        problems.add((*path, "wait"), "expected `refused` beside `wait`, found none")
    if "over" in problems.keys(path) and "priced" not in counts:
        problems.add((*path, "over"), "expected `priced` beside `over`, found none")
    _check_sums(counts, times, path, problems)
    if each.status is not None and counts.get("admitted") and counts.get("refused"):
        message = (
            "expected `status` beside `admitted` or `refused`, found both: it is that of each call"
        )
        problems.add((*path, "status"), message)
    if not counts and each.status is None and not each.charged:
        problems.add(path, "expected what becomes of the calls, found nothing")


def _check_sums(counts: Mapping[str, int], times: int, path: Path, problems: Problems) -> None:
    """Check that no more calls are expected than are made: one is refused or reaches the server."""
    least = {name: abs(count) for name, count in counts.items()}  # `SOME` is at least one
    refused = least.pop("refused", 0)
    for name, count in least.items():
        if refused and count and refused + count > times:
            message = (
                f"expected `{name}` and `refused` to be at most {times} calls together,"
                f" found {refused + count}"
            )
            problems.add((*path, name), message)


def _count(text: str, times: int, path: Path, problems: Problems) -> int:
    words = {"all": times, "some": SOME, "none": 0}
    if text in words:
        return words[text]
    try:
        count = int(text) if text.isascii() and text.isdigit() else None
    except ValueError:  # more digits than Python reads
        count = None
    if count is None or count > times:
        near = nearest(text, words) if count is None else ""
        expected = f"a number of at most {times} calls, `all`, `some` or `none`"
        problems.add(path, f"expected {expected}, found {brief(text)}{near}")
        return 0
    return count


def _check_budgets(named: Collection[str], path: Path, known: Known, problems: Problems) -> None:
    for name in named:
        if name not in known.budgets:
            problems.add((*path, name), _unknown(name, known.budgets))


def _unknown(name: str, budgets: Collection[str]) -> str:
    near = nearest(name, budgets)
    few = budgets and len(budgets) <= FEW and not near
    known = f"a budget, {listed(budgets)}," if few else "a budget,"
    return f"expected {known} found {brief(name)}{near}"


def _amount(text: str, budget: Budget, path: Path, problems: Problems) -> int:
    """Read an amount in a budget's unit; unlike a limit, it may be zero."""
    if text.strip() == "0":
        return 0
    try:
        amount, unit = notation.amount_of(text)
    except ValueError as error:
        problems.add(path, str(error))
        return 0
    ours = budget.quota.unit
    if unit not in (None, ours):
        problems.add(path, f"expected an amount in {ours}, found {brief(text)}")
    return amount
