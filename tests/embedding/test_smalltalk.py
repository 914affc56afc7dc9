"""Small talk around a task is taken off at first sight, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.embedding.smalltalk import without_small_talk

TASK = "Explain how the moon moves the tides of the northern ocean."
FRAMES = {
    "greeting": "Hey there! Hope you are having a good week. {}",
    "story": "My friend asked me this at work and I had no idea. {}",
    "thanks": "{} Thanks so much, you are the best!",
    "both": "Hi! Hope you are well. {} Thank you so much for your help.",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
def test_small_talk_is_taken_off_the_first_time(frame: str) -> None:
    assert without_small_talk(frame.format(TASK)).strip() == TASK


@pytest.mark.parametrize(
    "text",
    [
        "Hi! How are you today? Thank you so much for your help.",
        "Thanks!",
        "Our invoice 4711 was paid twice. Please refund the second payment to our bank account.",
        "def add(a, b):\n    return a + b\n\nWhy does this fail?",
    ],
    ids=["nothing else", "thanks alone", "a matter of one's own", "code"],
)
def test_what_is_no_frame_stays(text: str) -> None:
    assert without_small_talk(text) == text


@given(st.text(max_size=400))
def test_what_is_left_is_a_part_of_the_text(text: str) -> None:
    assert without_small_talk(text) in text
