"""What one account obtains of a sweep by each trick, and what accounts of few calls obtain."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.sweep.bodies import Request, asked
from benchmarks.sweep.context import PER_DAY, Context, Cover, Settings
from benchmarks.sweep.corpora import Corpus, Entry, Prompt, read
from benchmarks.sweep.figures import median_of
from benchmarks.sweep.replay import obtain
from benchmarks.sweep.scoring import scored_with
from benchmarks.sweep.tricks import TRICKS, Scene
from benchmarks.sweep.workloads import shuffled

__all__ = ["CROWDS", "EACH", "crowd_part", "trick_part", "trick_table", "wanted_of"]

EACH = 15
"""Calls of each account of a crowd."""

CROWDS = ("one_template", "one_word_changed", "no_template", "no_template_among_honest")
"""System prompts of a crowd's accounts."""

_WORDS = [
    "calm",
    "quick",
    "bright",
    "kind",
    "plain",
    "bold",
    "neat",
    "warm",
    "clear",
    "sharp",
    "steady",
    "brisk",
    "gentle",
    "honest",
    "exact",
    "careful",
    "cheerful",
    "patient",
    "modest",
    "sober",
]


def wanted_of(settings: Settings, corpus: Corpus) -> tuple[Prompt, ...]:
    """Return the prompts of a sweep that tricks, crowds and campaigns are after."""
    broad, narrow = settings.size.wanted
    most = broad if corpus.entry.kind == "broad" else narrow
    return shuffled(corpus.prompts, f"wanted {corpus.entry.name}")[:most]


def trick_part(
    settings: Settings, entry: Entry, names: Sequence[str]
) -> tuple[str, dict[str, int]]:
    """Return how many prompts of a sweep each trick obtains."""
    with scored_with(settings.fit_of(entry)):
        return entry.name, asyncio.run(_tricks(Context(settings), read(entry), names))


async def _tricks(context: Context, corpus: Corpus, names: Sequence[str]) -> dict[str, int]:
    wanted, found = wanted_of(context.settings, corpus), dict[str, int]()
    for name in names:
        trick, scene = TRICKS[name], _scene(context.settings.cover, corpus, wanted, name)
        met = await obtain(
            context.policy,
            context.analyzer,
            trick.bodies(scene),
            per_day=trick.per_day,
            together=trick.together,
        )
        found[name] = len(met.prompts)
    return found


def _scene(cover: Sequence[Cover], corpus: Corpus, wanted: Sequence[Prompt], trick: str) -> Scene:
    draw = random.Random(f"{trick} {corpus.entry.name}")
    honest = draw.choice(cover) if cover else Cover("app", ("hello",), "", frozenset())
    return Scene(
        [prompt.text for prompt in wanted],
        [prompt.task for prompt in wanted],
        corpus.template,
        honest.texts,
        honest.template,
        draw,
    )


def trick_table(
    parts: Sequence[tuple[str, dict[str, int]]], kinds: dict[str, str]
) -> dict[str, dict[str, float | None]]:
    """Return, by trick, what was obtained of each sweep, and the medians.

    Args:
        parts: Name of a sweep, and what tricks obtained of it.
        kinds: Class of each sweep.
    """
    found: dict[str, dict[str, float | None]] = {}
    for sweep, tricks in sorted(parts, key=lambda part: part[0]):
        for name, obtained in tricks.items():
            found.setdefault(name, {})[sweep] = obtained
    return {
        name: {
            **of,
            "median": median_of(list(of.values())),
            "median_broad": median_of([v for s, v in of.items() if kinds[s] == "broad"]),
        }
        for name, of in sorted(found.items(), key=lambda one: list(TRICKS).index(one[0]))
    }


def crowd_part(settings: Settings, entry: Entry) -> tuple[str, dict[str, Any]]:
    """Return what many accounts of fifteen calls obtain of a sweep."""
    with scored_with(settings.fit_of(entry)):
        return entry.name, asyncio.run(_crowds(Context(settings), read(entry)))


async def _crowds(context: Context, corpus: Corpus) -> dict[str, Any]:
    wanted = wanted_of(context.settings, corpus)
    found: dict[str, Any] = {"class": corpus.entry.kind, "accounts": -(-len(wanted) // EACH)}
    for kind in CROWDS:
        for order in ("in_turn", "round_robin"):
            requests = _crowd(context.settings.cover, corpus, wanted, kind, order)
            met = await obtain(
                context.policy,
                context.analyzer,
                requests,
                per_day=PER_DAY,
                gives_up=len(wanted),
            )
            honest = {number for number in met.disturbed if number < 0}
            found[f"{kind} {order}"] = {
                "obtained": len(met.prompts),
                "first": None if not met.disturbed else met.first,
                "honest_disturbed": len(honest),
            }
    return found


def _crowd(
    cover: Sequence[Cover], corpus: Corpus, wanted: Sequence[Prompt], kind: str, order: str
) -> Iterator[Request]:
    """Return the calls of a crowd; honest newcomers among them have negative numbers."""
    accounts = -(-len(wanted) // EACH)
    for place, prompt in enumerate(wanted):
        account = place // EACH if order == "in_turn" else place % accounts
        body = asked(prompt.text, _template(corpus, kind, account))
        yield Request(body, (place,), account=account)
        if kind == "no_template_among_honest" and cover:
            text = _newcomer(cover, account, place, order, accounts)
            yield Request(asked(text), account=-1 - account)


def _newcomer(cover: Sequence[Cover], number: int, place: int, order: str, accounts: int) -> str:
    """Return what an honest newcomer asks beside the crowd's call at this place."""
    held = cover[number % len(cover)].texts
    call = place % EACH if order == "in_turn" else place // accounts
    return held[(number // len(cover) * EACH + call) % len(held)]


def _template(corpus: Corpus, kind: str, account: int) -> str:
    if kind == "one_template":
        return corpus.template
    if kind == "one_word_changed":
        first, _, rest = corpus.template.partition(" ")
        word = _WORDS[account % len(_WORDS)]
        return f"{first} {word}{account // len(_WORDS) or ''} {rest}"
    return ""
