"""What a caller has sent before is taken off what it sends next; what is new is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.embedding.chunking.repeats import Repeats

KEY = b"sixteen or more bytes"
TASKS = (
    "Name three rivers that cross the border of Austria.",
    "Prove that the square root of seven is irrational.",
    "Suggest a birthday present for a keen gardener.",
    "Translate 'good morning' into Swahili and Finnish.",
    "Why do cats purr when nobody is in the room?",
    "Sketch the plot of a comedy about two lighthouse keepers.",
)
CURIOUS = "You are a curious assistant who loves to help everybody out: "
LONG = (
    "I have been thinking about this for weeks, and I would dearly like to hear what you make of"
    " it. Take your time, be kind and answer as well as you can. Here it is:\n"
)
ENDING = "\n\nThank you very much in advance for your kind and thorough help!"
ASIDE = "\nBy the way, it is a lovely day outside, and the birds are singing in all the trees.\n"
TOPICS = ("cats", "history", "chemistry", "tax", "poetry", "rugby")


def after(frame: Callable[[int, str], str], key: bytes = KEY) -> list[str]:
    repeats = Repeats(key)
    return [repeats.without("caller", frame(n, task)) for n, task in enumerate(TASKS)]


@pytest.mark.parametrize(
    "frame",
    [
        lambda _, task: CURIOUS + task,
        lambda _, task: LONG + task,
        lambda _, task: task + ENDING,
        lambda _, task: LONG + task + ENDING,
        lambda n, task: (CURIOUS, LONG)[n % 2] + task,
        lambda n, task: (
            f"You are a friend of {TOPICS[n]} who has {n} questions about many things"
            f" and loves to talk: {task}"
        ),
    ],
    ids=["short", "long", "ending", "both", "in turn", "with another word in it"],
)
def test_a_constant_preamble_or_ending_is_taken_off(frame: Callable[[int, str], str]) -> None:
    assert after(frame)[4:] == [*TASKS[4:]]


def test_a_constant_passage_is_taken_off_wherever_it_stands() -> None:
    left = after(lambda _, task: f"{task}{ASIDE}{task[::-1]}")
    assert "birds are singing" in left[0]
    assert not any("birds are singing" in text for text in left[1:])


def test_the_first_text_with_a_preamble_is_new_as_a_whole() -> None:
    assert after(lambda _, task: CURIOUS + task)[0] == CURIOUS + TASKS[0]


def test_a_repeated_text_stays_whole() -> None:
    repeats = Repeats(KEY)
    assert [repeats.without("caller", CURIOUS) for _ in range(3)] == [CURIOUS] * 3


def test_what_another_caller_sent_is_new() -> None:
    repeats = Repeats(KEY)
    repeats.without("one", CURIOUS + TASKS[0])
    assert repeats.without("other", CURIOUS + TASKS[1]) == CURIOUS + TASKS[1]


def test_a_phrase_that_comes_up_again_stays() -> None:
    repeats = Repeats(KEY)
    for question in ("restart", "upgrade", "remove", "watch"):
        text = f"How do I {question} the ingress controller of the payment service at night?"
        assert repeats.without("caller", text) == text


def test_callers_beyond_the_most_are_forgotten() -> None:
    repeats = Repeats(KEY, callers=2)
    for caller in ("one", "two", "three"):
        repeats.without(caller, CURIOUS + TASKS[0])
    assert repeats.without("one", CURIOUS + TASKS[1]) == CURIOUS + TASKS[1]
    assert len(repeats._sent) == 2


@given(st.lists(st.text(st.characters(), max_size=3_000), max_size=4))
def test_any_text_leaves_something_of_itself(texts: list[str]) -> None:
    repeats = Repeats(KEY)
    for text in [*texts, *texts]:
        left = repeats.without("caller", text)
        assert bool(left) == bool(text)
        assert len(left) <= len(text)


def test_no_text_is_kept() -> None:
    repeats = Repeats(KEY)
    for number in range(2_000):
        repeats.without("caller", f"{number} is the number of the day, said the watchman again")
    sent = repeats._sent["caller"]
    assert sent.recent.nbytes == 4_096
    assert sent.old is not None
    assert sent.old.nbytes == 4_096
