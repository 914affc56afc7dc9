"""Draw the diagrams of the pages: `python docs/images/make_diagrams.py`.

Three show how things follow each other. Two are charts of what the code does when this script runs
it: the windows of the ledger, and the strain of two callers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from drawing import arrow, box, curve, frame, rule, svg, text  # noqa: E402 - by the line above

from querybudget import QueryBudgetMiddleware, ledger  # noqa: E402
from querybudget.demo.prompts import conversation  # noqa: E402
from querybudget.events import DecisionEvent  # noqa: E402
from querybudget.ledger import Account, Charge, Line  # noqa: E402
from querybudget.testing import FakeModel, sweep  # noqa: E402
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit  # noqa: E402

LIMIT, MINUTE = 60, 60
FROM, UNTIL = 50, 200
"""Seconds of the windows' chart: when the caller begins, and when the chart ends."""

PROMPTS = 160
"""Prompts of the sweep in the chart of strain."""

BREADTH = {
    "secret": "a secret of the documentation alone",
    "identity": ["api_key"],
    "budgets": [
        {
            "name": "breadth",
            "limit": "1000 buckets/30 days",
            "then": {"slow": 0.65, "degrade": 0.85, "refuse": 1},
        }
    ],
}


def sits() -> str:
    """Where the middleware is: in the server, before the application."""
    parts = [
        box(140, 12, 200, 46, "callers", "openai, anthropic, curl, ..."),
        frame(12, 92, 456, 250),
        text(24, 112, "your server", "small", "start"),
        box(140, 128, 200, 60, "querybudget", "the middleware"),
        box(140, 262, 200, 60, "your application", "keys, routes, the model"),
        box(24, 133, 88, 50, "policy", "a file"),
        box(364, 128, 98, 60, "hooks", "log, metrics,", "webhooks"),
        box(140, 376, 200, 46, "store", "memory, a file, Redis"),
        arrow((222, 58), (222, 126)),
        arrow((258, 128), (258, 60)),
        text(214, 82, "call", "small", "end"),
        text(268, 82, "answer, or 429", "small", "start"),
        arrow((222, 188), (222, 260)),
        text(214, 228, "admitted", "small", "end"),
        arrow((258, 262), (258, 190)),
        text(268, 228, "chunks, usage", "small", "start"),
        arrow((112, 158), (138, 158)),
        arrow((340, 158), (362, 158)),
        arrow((140, 176), (126, 176), (126, 399), (138, 399)),
        text(24, 362, "reserve, settle", "small", "start"),
    ]
    return svg("sits", 434, "The middleware sits in the server, before the application", parts)


def reserve() -> str:
    """One call in time: reserve, stream, settle."""
    lanes = {"caller": 52, "querybudget": 178, "store": 304, "model": 428}
    a, b, c, d = lanes.values()
    parts = [box(x - 50, 10, 100, 32, name) for name, x in lanes.items()]
    parts += [rule(x, 42, x, 452) for x in lanes.values()]
    steps: Sequence[tuple[float, float, str, bool]] = [
        (a, b, "prompt, up to 500 tokens out", False),
        (b, c, "reserve: hold 620 tokens", False),
        (c, b, "all budgets have room", True),
        (b, d, "the call", False),
        (d, a, "chunk", True),
        (d, a, "chunk", True),
        (d, a, "last chunk, used: 310 tokens", True),
        (b, c, "settle: 310 used, 310 back", False),
    ]
    for number, (start, end, words, dashed) in enumerate(steps):
        y = 84 + 48 * number
        edge = 2 if end > start else -2
        parts.append(arrow((start, y), (end - edge, y), dashed=dashed))
        left = min(start, end)
        parts.append(text(left + 8, y - 8, words, "small", "start"))
    return svg("reserve", 462, "A call reserves, streams and settles", parts)


def way() -> str:
    """The way of a request through the code."""
    parts = [
        box(24, 12, 190, 46, "scope", "who calls"),
        box(266, 12, 190, 46, "body", "what is asked"),
        arrow((119, 58), (119, 96)),
        text(127, 82, "resolvers", "small", "start"),
        arrow((361, 58), (361, 96)),
        text(369, 82, "an adapter", "small", "start"),
        box(24, 98, 190, 34, "caller"),
        box(266, 98, 190, 34, "call"),
        arrow((119, 132), (119, 166)),
        arrow((361, 132), (361, 166)),
        box(24, 168, 432, 64, "plan", "the budgets that apply, the tokens it will probably use,",
            "the buckets of what it reads if a budget counts them"),
        arrow((240, 232), (240, 264)),
        box(24, 266, 432, 46, "store.reserve", "one atomic step: decision, price, stage"),
        arrow((119, 312), (119, 352)),
        arrow((346, 312), (346, 352)),
        text(127, 336, "refused", "small", "start"),
        text(354, 336, "admitted", "small", "start"),
        box(24, 354, 190, 46, "refusal", "in the caller's dialect"),
        box(236, 354, 220, 46, "application", "perhaps slowed or degraded"),
        arrow((346, 400), (346, 438)),
        text(338, 424, "a meter reads on", "small", "end"),
        box(236, 440, 220, 46, "store.settle", "used, in place of held"),
        arrow((346, 486), (346, 518)),
        arrow((119, 400), (119, 518)),
        box(24, 520, 432, 34, "one event to each hook"),
    ]  # fmt: skip
    return svg("way", 566, "The way of a request through the code", parts)


def minute_of(now: int) -> tuple[int, int]:
    """The calendar's minute that `now` is in, from and until."""
    start = now - now % (MINUTE * SECOND)
    return start, start + MINUTE * SECOND


def admitted(algorithm: Algorithm) -> list[int]:
    """Calls admitted by each second, to a caller who asks for all it can get from `FROM` on."""
    bounds = minute_of if algorithm is Algorithm.CALENDAR else None
    quota = Quota(
        "calls",
        Unit.REQUESTS,
        LIMIT * MICRO,
        MINUTE * SECOND,
        algorithm,
        LIMIT * MICRO,
        bounds,
    )
    account, total, totals = Account(), 0, list[int]()
    for second in range(UNTIL + 1):
        while second >= FROM:
            line = Line("caller", quota, MICRO, MICRO)
            charge = Charge(f"call-{total}", (line,), SECOND)
            decision = ledger.reserve({"caller": account}, charge, second * SECOND)
            if decision.reservation is None:
                break
            ledger.settle({"caller": account}, decision.reservation, (MICRO,), second * SECOND)
            total += 1
        totals.append(total)
    return totals


def windows() -> str:
    """What one caller gets of 60 a minute in three windows."""
    parts = [text(24, 24, "60 requests/minute, asked for as fast as possible from 0:50 on", "small",
                  "start")]  # fmt: skip
    top = 44.0
    for algorithm in (Algorithm.SLIDING, Algorithm.GCRA, Algorithm.CALENDAR):
        totals = admitted(algorithm)
        most = max(totals[n] - totals[n - MINUTE] for n in range(MINUTE, len(totals)))
        most = max(most, *totals[:MINUTE])

        def place(second: float, calls: float, top: float = top) -> tuple[float, float]:
            return 56 + second * 400 / UNTIL, top + 112 - calls * 100 / 240

        steps = [
            place(second, totals[before])
            for second in range(1, len(totals))
            for before in (second - 1, second)
        ]
        for calls in (0, 60, 120, 180, 240):
            parts.append(rule(56, place(0, calls)[1], 456, place(0, calls)[1]))
            parts.append(text(48, place(0, calls)[1] + 4, str(calls), "small", "end"))
        for minute in range(4):
            parts.append(text(place(minute * 60, 0)[0], top + 130, f"{minute}:00", "small"))
            parts.append(rule(place(minute * 60, 0)[0], top + 12, place(minute * 60, 0)[0],
                              top + 112))  # fmt: skip
        parts.append(curve(steps, "first"))
        parts.append(text(64, top + 28, algorithm.name.lower(), "code", "start"))
        parts.append(text(64, top + 46, f"fullest minute: {most}", "small", "start"))
        top += 152
    return svg("windows", top, "Calls admitted in all, by a sliding window, GCRA, and a calendar "
               "window", parts)  # fmt: skip


async def strains(key: str, prompts: Sequence[str]) -> list[float]:
    """The strain of a caller after each call, from 0 to 1, by what the events say."""
    events: list[DecisionEvent] = []
    app = QueryBudgetMiddleware(FakeModel(), policy=BREADTH, hooks=[events.append])
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://model", headers=headers
    ) as client:
        for prompt in prompts:
            body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
            await client.post("/v1/chat/completions", json=body)
    return [event.strain / 1_000_000 for event in events]


def strain() -> str:
    """The strain of a person and of a sweep, call by call."""

    def place(call: float, value: float) -> tuple[float, float]:
        return 52 + call * 404 / PROMPTS, 260 - value * 224

    person = asyncio.run(strains("a-person", conversation()))
    sweeper = asyncio.run(strains("a-sweeper", sweep(PROMPTS)))
    parts = list[str]()
    for value, words in ((0.65, "slow"), (0.85, "degrade"), (1.0, "refuse")):
        parts.append(rule(52, place(0, value)[1], 456, place(0, value)[1]))
        parts.append(text(58, place(0, value)[1] - 5, words, "small", "start"))
    for value in (0, 0.5, 0.65, 0.85, 1.0):
        parts.append(text(46, place(0, value)[1] + 5, f"{value:g}", "small", "end"))
    parts.append(rule(52, 260, 456, 260))
    for call in range(0, PROMPTS + 1, 40):
        parts.append(text(place(call, 0)[0], 280, str(call), "small"))
    parts.append(text(254, 300, "calls", "small"))
    for values, kind in ((sweeper, "second"), (person, "first")):
        parts.append(curve((place(n + 1, value) for n, value in enumerate(values)), kind))
    end = place(len(person), person[-1])
    parts.append(text(end[0] + 6, end[1] + 4, "a person", "first", "start"))
    end = place(PROMPTS * 0.45, sweeper[int(PROMPTS * 0.45)])
    parts.append(text(end[0] + 8, end[1] + 20, "a sweep", "second", "start"))
    return svg("strain", 312, "Strain over the calls of a person and of a sweep", parts)


DIAGRAMS: dict[str, Callable[[], str]] = {
    "sits": sits,
    "reserve": reserve,
    "way": way,
    "windows": windows,
    "strain": strain,
}


def main() -> None:
    """Draw them all."""
    for name, draw in DIAGRAMS.items():
        (HERE / f"{name}.svg").write_text(draw())


if __name__ == "__main__":
    main()
