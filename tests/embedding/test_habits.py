"""Short phrases that a caller's texts often begin or end with are taken off, and nothing else."""

from __future__ import annotations

import random
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.embedding.chunking.habits import OFTEN, Habits

SEED = 20_261_127
WORDS = [
    "river",
    "lamp",
    "quietly",
    "orange",
    "harbour",
    "between",
    "winter",
    "cloud",
    "stone",
    "maker",
    "garden",
    "heron",
]
DRAW = random.Random(SEED)
TASKS = tuple(" ".join(DRAW.sample(WORDS, 9)).capitalize() + "." for _ in range(24))


def left_of(texts: list[str]) -> list[str]:
    habits = Habits(SEED)
    return [habits.without(text) for text in texts]


@pytest.mark.parametrize(
    "frame",
    [
        "Just curious: {}",
        "Well - {}",
        "{} Any ideas?",
        "Hi! I have a question. {} Thanks! Bye.",
        "请问\uff1a{}",
        "Note\n{}\nBye",
    ],
)
def test_a_clause_around_each_text_is_taken_off(frame: str) -> None:
    found = left_of([frame.format(task) for task in TASKS])
    assert found[0] == frame.format(TASKS[0])
    assert [text.strip() for text in found[2 * OFTEN + 1 :]] == [*TASKS[2 * OFTEN + 1 :]]


def test_clauses_that_take_turns_are_taken_off() -> None:
    frames = cycle(
        ("So, {} Any ideas?", "Hey! {} Thanks.", "Quick one: {} Cheers!", "Hm, {} Well?")
    )
    found = left_of([frame.format(task) for frame, task in zip(frames, TASKS, strict=False)])
    assert [text.strip() for text in found[16:]] == [*TASKS[16:]]


def test_words_before_each_text_are_taken_off_though_no_sign_ends_them() -> None:
    found = left_of([f"I hope that you {task}" for task in TASKS])
    assert found[12:] == [*TASKS[12:]]


def test_a_number_in_a_clause_makes_it_no_other_one() -> None:
    found = left_of([f"No. {number}: {task}" for number, task in enumerate(TASKS)])
    assert found[8:] == [*TASKS[8:]]


def test_a_date_in_a_clause_ends_it_nowhere() -> None:
    texts = [f"[{n}.11.2026 {n % 24}:05] Dear team, {task}" for n, task in enumerate(TASKS)]
    assert left_of(texts)[8:] == [*TASKS[8:]]


def test_how_some_of_many_texts_begin_stays() -> None:
    texts = [f"{('How do I', 'Where is', 'Why is')[n % 3]} {task}" for n, task in enumerate(TASKS)]
    assert left_of(texts) == texts


def test_a_first_word_stays_though_each_text_has_it() -> None:
    texts = [f"What {task}" for task in TASKS]
    assert left_of(texts) == texts


def test_a_habit_that_was_given_up_is_forgotten() -> None:
    habits = Habits(SEED)
    texts = [f"{task[:-1]}, number {n}" for n in range(110) for task in TASKS]
    for task in TASKS:
        habits.without(f"Just curious: {task}")
    for text in texts:
        habits.without(text)
    assert habits.without("Just curious: why?") == "Just curious: why?"


@given(
    st.lists(st.text(st.sampled_from("ab .,:!\n-\u3002\uff1a\ud800 9"), max_size=120), max_size=30)
)
def test_what_is_left_is_a_part_of_the_text(texts: list[str]) -> None:
    habits = Habits(SEED)
    for text in [*texts, *texts]:
        assert habits.without(text) in text
