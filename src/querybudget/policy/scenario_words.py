"""The tests of a policy as its author writes them, and the reader of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from querybudget import notation
from querybudget.notation import brief
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.fields import Duration, Factor, Text, Words, between, doc, written
from querybudget.policy.model import Budget, Mode
from querybudget.policy.moment import moment
from querybudget.policy.scenario import (
    DECISIONS,
    SOME,
    Expected,
    Scenario,
    ScenarioCaller,
    ScenarioCalls,
)
from querybudget.text import nearest, wait
from querybudget.units import MICRO

MOST_CALLS = 10_000
"""Calls that one entry of a test makes."""

SWEEP = 527
"""Different prompts of a made-up sweep: `querybudget.testing.sweeping.DIFFERENT`."""

Count = Annotated[
    str, written("str", "a number of calls, `all`, `some` or `none`", "integer string", 1, "all")
]
Elapsed = Annotated[
    int, written("elapsed", "a time such as `30s`", "integer string", "90s", "1 day")
]
Document = Annotated[
    str,
    Meta(
        extra={
            "json": True,
            "expected": "a mapping, or JSON as a text",
            "schema": {"type": ["object", "array", "string"], "examples": [{"input": "hi"}]},
        }
    ),
]
"""JSON: written as such, in a text, or as a mapping of the policy's file."""
_Texts = tuple[Text, ...]


class CallerFile(Struct, frozen=True):
    """What a request says of who sends it."""

    api_key: Annotated[Text, doc("Sent as the bearer token.")] = ""
    user: Annotated[Text, doc("The user that authentication found.")] = ""
    address: Annotated[str, doc("The client's address.")] = ""
    headers: Annotated[dict[str, Text], doc("Headers by name.")] = {}
    claims: Annotated[dict[str, _Texts], doc("Claims of the verified token: path to value.")] = {}


class ExpectFile(Struct, frozen=True):
    """What becomes of the calls; a word such as `admitted` says it of all of them."""

    admitted: Annotated[Count, doc("Calls that reach the application.")] | None = None
    refused: Annotated[Count, doc("Calls that do not.")] | None = None
    slowed: Annotated[Count, doc("Calls that are delayed.")] | None = None
    degraded: Annotated[Count, doc("Calls that reach it with less asked for.")] | None = None
    priced: Annotated[Count, doc("Calls that are charged above the price `over`.")] | None = None
    by: Annotated[Words, doc("Budgets that refuse, slow or degrade them.")] = ()
    wait: Annotated[Duration, doc("When refused calls fit.")] | None = None
    over: Annotated[Factor, doc("For `priced`.")] = MICRO
    status: Annotated[int, between(100, 599), doc("HTTP status of each answer.")] | None = None
    charged: Annotated[
        dict[str, Text], doc("Budget to what the calls take together in the end.")
    ] = {}


Expect = Annotated[ExpectFile, Meta(extra={"words": dict.fromkeys(DECISIONS, "all")})]


class CallsFile(Struct, frozen=True):
    """Calls of one caller that are alike, and what is expected of them."""

    caller: Annotated[
        Text, doc("Who calls, by any name: sent as `identity` wants it, or as `callers` says.")
    ] = ""
    at: Annotated[Elapsed, doc("When the first is made, since the test began.")] | None = None
    times: Annotated[int, between(1, MOST_CALLS), doc("How many.")] = 1
    every: Annotated[Elapsed, doc("Time from one to the next; at once by default.")] = 0
    lasts: Annotated[Elapsed, doc("Time until each is answered; at once by default.")] = 0
    method: Annotated[str, doc("HTTP method.")] = "POST"
    path: Annotated[str, doc("The path, and its query.")] = "/v1/chat/completions"
    headers: Annotated[dict[str, Text], doc("Headers by name.")] = {}
    model: Annotated[Text, doc("The model asked for.")] = "model"
    prompt: (
        Annotated[str, doc("What is asked; otherwise, any text of about `input` tokens.")] | None
    ) = None
    sweep: (
        Annotated[int, between(1, SWEEP), doc("In place of `times`: so many prompts of a sweep.")]
        | None
    ) = None
    max_tokens: Annotated[int, between(1), doc("The most tokens asked for.")] | None = None
    stream: Annotated[bool, doc("Whether a stream is asked for.")] = False
    body: Annotated[Document, doc("The whole body of the request.")] = ""
    input: Annotated[int, between(0, 4_000_000), doc("Tokens read.")] | None = None
    output: Annotated[int, between(0), doc("Tokens generated.")] | None = None
    answer: Annotated[Document, doc("The whole body of the answer.")] = ""
    fails: Annotated[int, between(400, 599), doc("Status with which the server fails.")] | None = (
        None
    )
    spent: Annotated[
        dict[str, Text], doc("Budget to what the caller has used before: `900 tokens`, `90%`.")
    ] = {}
    expect: Annotated[Expect, doc("What becomes of them.")] | None = None


class ScenarioFile(Struct, frozen=True):
    """A test of the policy: `querybudget test` runs it."""

    name: Annotated[str, doc("What it shows.")] | UnsetType = UNSET
    mode: Annotated[Mode, doc("Of every budget in it, whatever the policy says.")] | None = None
    start: Annotated[str, doc("When it begins: `2026-01-31T23:00Z`.")] | None = None
    callers: Annotated[
        dict[str, CallerFile], doc("Names to what the requests of such a caller say.")
    ] = {}
    calls: Annotated[tuple[CallsFile, ...], doc("In order of their times.")] | UnsetType = UNSET


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
    return Scenario(
        name=name,
        line=problems.line((*path, "name")),
        mode=each.mode or "",
        start=moment(each.start, (*path, "start"), problems),
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


def _caller(each: CallerFile, path: Path, problems: Problems) -> ScenarioCaller:
    if each.address:
        try:
            ipaddress.ip_address(each.address)
        except ValueError:
            message = f"expected an address such as `192.0.2.7`, found {brief(each.address)}"
            problems.add((*path, "address"), message)
    return ScenarioCaller(
        each.api_key,
        each.user,
        each.address,
        {name.lower(): value for name, value in each.headers.items()},
        each.claims,
    )


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
    keys = problems.keys(path)
    asks = [key for key in ("body", "sweep", "prompt") if key in keys]
    if len(asks) > 1:
        problems.add((*path, asks[1]), f"expected `{asks[0]}` or `{asks[1]}`, found both")
    if "sweep" in keys and "times" in keys:
        problems.add((*path, "times"), "expected `times` or `sweep`, found both")
    if not each.path.startswith("/"):
        problems.add((*path, "path"), f"expected a path such as `/v1/chat`, found `{each.path}`")
    for key, text in (("body", each.body), ("answer", each.answer)):
        if text and not _is_json(text):
            problems.add((*path, key), f"expected JSON, found {brief(text)}")
    if each.lasts > known.hold:
        message = f"expected at most `hold`, {wait(known.hold)}, found {wait(each.lasts)}"
        problems.add((*path, "lasts"), message)
    _check_budgets(each.spent, (*path, "spent"), known, problems)
    for name, text in each.spent.items():
        try:
            if text.rstrip().endswith("%"):
                notation.share(text)
            else:
                notation.amount_of(text)
        except ValueError as error:
            problems.add((*path, "spent", name), str(error))


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
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
    _check_uses(each, counts, path, problems)
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
    each: ExpectFile, counts: Mapping[str, int], path: Path, problems: Problems
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
    if not counts and each.status is None and not each.charged:
        problems.add(path, "expected what becomes of the calls, found nothing")


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
    return f"expected a budget, found {brief(name)}{nearest(name, budgets)}"


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
