"""Plain signs of a capability in a text, for those that an embedding of it misses.

Only signs that hardly ever mislead: on prompts of known kinds, these of code were right 19 times in
20 and found more than a third of it, where a prompt is code and says no word of programming; these
of a part to be played, 14 in 15 and two fifths. That of reasoning was seen in 1 of 250 prompts of
all kinds, and in 11 of the 18 examples that ship.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from querybudget.coverage.style import STYLE_FEATURES

__all__ = ["Cue", "cues"]

Cue = Callable[[str, Sequence[int]], bool]
"""Whether an ask, with its traits, shows the sign."""

_READ = 500
"""Characters that are looked at."""

_PART = re.compile(
    r"\W{0,9}(?:i want you to |please |let's )?"
    r"(?:act|behave|imagine you|pretend|role-?play|you are (?:now )?(?:an?|the) )",
    re.IGNORECASE,
)
_REASONING = STYLE_FEATURES.index("reasoning")


def cues(names: Sequence[str]) -> tuple[tuple[int, Cue], ...]:
    """The bit and the cue of each capability that has one, among those of these names."""
    return tuple((1 << bit, _CUES[name]) for bit, name in enumerate(names) if name in _CUES)


def _code(ask: str, _: Sequence[int]) -> bool:
    start = ask[:_READ]
    return (
        "```" in start
        or "def " in start
        or "import " in start
        or "#include" in start
        or ";\n" in start
    )


def _part(ask: str, _: Sequence[int]) -> bool:
    return _PART.match(ask) is not None


def _reasoning(_: str, traits: Sequence[int]) -> bool:
    return traits[_REASONING] > 0


_CUES: dict[str, Cue] = {
    "coding": _code,
    "reasoning_elicitation": _reasoning,
    "role_play": _part,
}
