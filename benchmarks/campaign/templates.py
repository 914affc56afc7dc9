"""System prompts of a campaign's accounts: the same, or made to look different."""

from __future__ import annotations

import random
from datetime import date, timedelta

__all__ = ["TEMPLATES", "template_of"]

TEMPLATES = ("none", "same", "word", "date", "paraphrase")

_WORDS = ("calm", "quick", "bright", "kind", "plain", "bold", "neat", "warm", "clear", "sharp")

_SENTENCES = (
    (
        "You are an assistant who answers questions of any kind with great care.",
        "As an assistant, you carefully answer whatever question you are given.",
        "Your task is to give careful answers to questions about anything.",
        "Act as a careful helper for all sorts of questions.",
    ),
    (
        "Explain each step of your reasoning before you give the result.",
        "Before the result, lay out how you reach it, step after step.",
        "Think step by step, and write every step down ahead of the result.",
        "Show the whole chain of thought first and the result last.",
    ),
    (
        "Write in full sentences and avoid lists.",
        "Use complete sentences instead of bullet points.",
        "No lists, please: whole sentences only.",
        "Lists are to be avoided; write prose.",
    ),
    (
        "If something is unknown to you, say so.",
        "Admit it when you do not know.",
        "Where your knowledge ends, tell the reader.",
        "Do not guess: say that you are unsure.",
    ),
)


def template_of(kind: str, account: int) -> str:
    """Return the system prompt of an account.

    Args:
        kind: ``none``; ``same``; ``word``: a word put in that differs; ``date``: a date and a
            number; ``paraphrase``: every sentence in one of four wordings, so that 256 differ.
        account: Its number.
    """
    if kind == "none":
        return ""
    same = " ".join(wordings[0] for wordings in _SENTENCES)
    if kind == "word":
        word = _WORDS[account % len(_WORDS)] + (f"{account // len(_WORDS)}" if account > 9 else "")
        return same.replace("an assistant", f"a {word} assistant", 1)
    if kind == "date":
        day = date(2026, 1, 5) + timedelta(days=account % 365)
        return f"Today is {day.isoformat()}. Session {account}. {same}"
    if kind == "paraphrase":
        draw = random.Random(f"paraphrase {account}")
        return " ".join(draw.choice(wordings) for wordings in _SENTENCES)
    return same
