"""The tests of a policy as its author writes them."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from querybudget.policy.fields import (
    Calls,
    Dollars,
    Duration,
    Factor,
    Text,
    Words,
    between,
    doc,
    written,
)
from querybudget.policy.model import Mode
from querybudget.policy.scenario import DECISIONS
from querybudget.units import MICRO

MOST_CALLS = 10_000
"""Calls that one entry of a test makes."""

SWEEP = 1147
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
Claims = Annotated[
    str,
    Meta(
        extra={
            "json": True,
            "expected": "a mapping of claims",
            "schema": {"type": "object", "examples": [{"org.id": "acme"}, {"org": {"id": "acme"}}]},
        }
    ),
]


class CallerFile(Struct, frozen=True):
    """What a request says of who sends it."""

    api_key: Annotated[Text, doc("Sent as the bearer token.")] = ""
    user: Annotated[Text, doc("The user that authentication found.")] = ""
    address: Annotated[str, doc("The client's address.")] = ""
    headers: Annotated[dict[str, Text], doc("Headers by name.")] = {}
    claims: Annotated[
        Claims, doc("Claims of the verified token: path to value, or nested as the token has them.")
    ] = "{}"
    age: Annotated[Elapsed, doc("How long the store knows it when the test begins.")] = 0
    calls: Annotated[Calls, doc("How many of its calls were answered in the year before.")] = 0
    spent: Annotated[Dollars, doc("What these cost.")] = 0
    clean: (
        Annotated[Elapsed, doc("How long ago it was last slowed or refused; never by default.")]
        | None
    ) = None


class ExpectFile(Struct, frozen=True):
    """What becomes of the calls; a word such as `admitted` says it of all of them."""

    admitted: Annotated[Count, doc("Calls that reach the application.")] | None = None
    refused: Annotated[Count, doc("Calls that do not.")] | None = None
    slowed: Annotated[Count, doc("Calls that are delayed.")] | None = None
    degraded: Annotated[Count, doc("Calls that reach it with less asked for.")] | None = None
    priced: Annotated[Count, doc("Calls that are charged above the price `over`.")] | None = None
    by: Annotated[Words, doc("Budgets that refuse, slow or degrade them.")] = ()
    wait: Annotated[Duration, doc("The wait after which refused calls fit.")] | None = None
    over: Annotated[Factor, doc("For `priced`: the price that calls exceed.")] = MICRO
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
