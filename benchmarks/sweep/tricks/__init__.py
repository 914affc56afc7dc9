"""Tricks: ways of asking a sweep's prompts so that a limiter may not see them.

Each is a transformation of any sweep into the bodies of requests as a client sends them. A body
says which prompts its answer gives; one that gives none is cover. A server is assumed to answer
them all, so a trick is counted even where a model would answer worse.

scene.py       what a trick works with, and how tricks are written
places.py      the task stands elsewhere than in the last user turn
frames.py      text around the task
smalltalk.py   small talk that is new in nearly every call, and each task after the one most like it
wording.py     the same task in other letters
cover.py       repeats, greetings, honest cover
filling.py     words, letters and turns between those of the task
packing.py     several tasks in a body, and bodies that servers read differently
pace.py        order, times, accounts
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.sweep.tricks.cover import COVERS
from benchmarks.sweep.tricks.filling import FILLINGS
from benchmarks.sweep.tricks.frames import FRAMES
from benchmarks.sweep.tricks.markings import MARKINGS
from benchmarks.sweep.tricks.pace import PACES
from benchmarks.sweep.tricks.packing import PACKINGS
from benchmarks.sweep.tricks.places import PLACES
from benchmarks.sweep.tricks.scene import Scene, Trick
from benchmarks.sweep.tricks.smalltalk import SMALL_TALK
from benchmarks.sweep.tricks.wording import WORDINGS

__all__ = ["QUICK_TRICKS", "TRICKS", "Scene", "Trick"]

TRICKS: Mapping[str, Trick] = {
    trick.name: trick
    for trick in (
        *PLACES,
        *FRAMES,
        *SMALL_TALK,
        *WORDINGS,
        *MARKINGS,
        *COVERS,
        *FILLINGS,
        *PACKINGS,
        *PACES,
    )
}

QUICK_TRICKS = (
    "plain",
    "system_prompt",
    "tool_result",
    "preamble_200",
    "word_a_line_numbered",
    "base64",
    "each_twice",
    "hi_30",
    "cover_90_same_template",
    "tasks_5",
    "token_ids",
)
"""Those of a quick run: one or two of each kind."""
