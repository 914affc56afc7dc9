"""Made-up callers: what persons, applications and sweeps would send, as requests.

Nobody wrote these prompts, and no finding about callers rests on them. What they are for is that
profiles and occupancies get about as large as with real ones: a person has a few subjects and few
words, an application one template and one kind of input, a sweep every subject and every task.
"""

from __future__ import annotations

import json
import random

__all__ = ["KINDS", "PATH", "requests", "sentence"]

KINDS = ("person", "application", "sweep")
PATH = "/v1/chat/completions"

_SUBJECTS = {
    "bread": "sourdough starter crust oven flour yeast dough proofing rye hydration loaf salt",
    "travel": "flight hotel visa luggage train museum itinerary airport ferry passport hostel map",
    "python": "decorator generator exception dictionary import pytest asyncio list class lambda",
    "taxes": "deduction invoice receipt income refund deadline bracket expense audit form payroll",
    "garden": "tomato compost mulch seedling pruning slug soil fertiliser greenhouse herb rose",
    "law": "contract liability clause tenant landlord notice damages court appeal statute lease",
    "health": "fever sleep vitamin allergy posture headache exercise diet doctor dosage knee",
    "physics": "momentum entropy photon gravity magnet pressure orbit wave friction voltage spin",
    "history": "empire revolution treaty dynasty railway plague colony parliament siege trade",
    "music": "chord melody rhythm violin scale tempo harmony bassoon recording lyrics tuning",
    "databases": "index transaction join query schema replica lock migration table cursor shard",
    "chemistry": "acid catalyst polymer isotope solvent reaction enzyme crystal oxide titration",
    "football": "striker penalty offside league transfer goalkeeper coach derby midfield referee",
    "finance": "bond dividend inflation portfolio option mortgage hedge yield broker leverage",
    "parents": "toddler nap school homework bedtime tantrum daycare lunchbox bicycle birthday",
    "film": "director screenplay editing camera sequel actor lighting scene plot documentary",
    "geology": "volcano sediment fault glacier basalt fossil earthquake mineral erosion magma",
    "sewing": "seam zipper fabric hem bobbin pattern needle thread lining button pleat cuff",
}
_QUESTIONS = (
    "why does my {a} not work with the {b}? I tried it twice now",
    "how do I fix the {a} when there is no {b}",
    "ok thanks. and what about the {a} then, is the {b} still fine?",
    "can you explain {a} and {b} like I am new to this",
    "which {a} would you take for {b}, and roughly what does it cost",
    "please rewrite this to my friend: the {a} is late, the {b} comes on friday",
    "is {a} better than {b} for beginners?",
    "what did you mean by {a} before?",
    "short list of things to check about {a} and {b} please",
    "hi, I have a question about the {a}: does {b} matter at all",
    "hm, no. I meant the {a}, not the {b}",
    "how long does {a} usually take if the {b} is old",
)
_INPUTS = (
    "Customer {n} writes: my {a} has arrived but the {b} is missing. Order {m}.",
    "Admission {n}: refund for {a}, was charged twice, see {b} of {m} days ago.",
    "Message {n}: please change the {a} on my account to {b}, reference {m}.",
    "Call note {n}: asks when the {a} is back, mentions {b}; call again in {m} hours.",
)
_TASKS = (
    "Explain the three most important ideas behind {a} in {s}, with one worked example each.",
    "Write a Python function that models {a} and {b} in {s}, with type annotations and tests.",
    "Compose a sonnet about {a} that an expert in {s} would find accurate.",
    "Write a multiple-choice question on {a} and {b} ({s}) and justify the right answer.",
    "Translate into German and Spanish, keeping the terms of {s}: the {a} depends on the {b}.",
    "Summarise the history of {a} in {s} in exactly five bullet points.",
    "Prove or refute step by step: more {a} always means less {b}.",
    "Extract all entities from a report on {a} and {b} in {s}, as JSON with a schema.",
    "Role-play a debate about {a} between a sceptic and a specialist in {s}.",
    "Derive a formula that relates {a} to {b}, and check it with numbers.",
    "Grade this essay on {a} in {s} with a rubric of five criteria, and give advice.",
)
_FRAME = "You sort messages to a shop's support desk. Answer with one of: refund, delivery, other."


_FORMS = (*_QUESTIONS, *_INPUTS, *_TASKS)
_ORDERED = sorted(_SUBJECTS)


def requests(kind: str, caller: int, count: int) -> list[bytes]:
    """Bodies for `PATH`: the first `count` that a caller of a kind sends."""
    draw = random.Random(f"{kind} {caller}")
    subjects = draw.sample(sorted(_SUBJECTS), 3)
    return [_body(kind, draw, subjects, at) for at in range(count)]


def sentence(draw: random.Random) -> str:
    """One that a person, an application or a sweep might ask, of any subject."""
    form = draw.choice(_FORMS)
    return _filled(draw, form, draw.choice(_ORDERED))


def _body(kind: str, draw: random.Random, subjects: list[str], at: int) -> bytes:
    if kind == "person":
        subject = subjects[at // 9 % len(subjects)]
        said = [_message("user", _filled(draw, draw.choice(_QUESTIONS), subject))]
    elif kind == "application":
        asked = _filled(draw, draw.choice(_INPUTS), subjects[0])
        said = [_message("system", _FRAME), _message("user", asked)]
    else:
        subject = sorted(_SUBJECTS)[at % len(_SUBJECTS)]
        said = [_message("user", _filled(draw, _TASKS[at % len(_TASKS)], subject))]
    return json.dumps({"model": "bench-1", "max_tokens": 400, "messages": said}).encode()


def _filled(draw: random.Random, form: str, subject: str) -> str:
    one, other = draw.sample(_SUBJECTS[subject].split(), 2)
    numbers = {"n": draw.randrange(1000, 9999), "m": draw.randrange(100)}
    return form.format(a=one, b=other, s=subject, **numbers)


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
