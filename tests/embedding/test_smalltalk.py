"""Small talk around a task is taken off at first sight, and nothing else is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.embedding.chunking.everyday import ENGLISH, GREETINGS, OTHERS, UNSPACED
from querybudget.embedding.chunking.smalltalk import without_small_talk

TASK = "Explain how the moon moves the tides of the northern ocean."
FRAMES = {
    "greeting": "Hey there! Hope you are having a good week. {}",
    "story": "My friend asked me this at work and I had no idea. {}",
    "thanks": "{} Thanks so much, you are the best!",
    "both": "Hi! Hope you are well. {} Thank you so much for your help.",
}


def own_words(text: str) -> list[str]:
    """Return the words of a text that are not everyday ones."""
    everyday = {*ENGLISH.split(), *OTHERS.split(), *GREETINGS.split(), *UNSPACED.split()}
    words = re.findall(r"[^\W_]+(?:['\u2019][^\W_]+)*", text)
    return [w for w in words if re.sub("['\u2019]", "", w.lower()) not in everyday]


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


@pytest.mark.parametrize(
    "text",
    [
        "My friend wants to know what is the capital of Mongolia. Bake rye bread slowly.",
        "Bake rye bread slowly: what is the capital of Mongolia, no clue, honestly.",
        "Hi photosynthesis! Please spell the word that I greet with in Morse.",
        "Bake rye bread slowly. Tell me the capital of Mongolia, thanks.",
        "I want to know \u4e3a\u4ec0\u4e48\u5929\u7a7a\u662f\u84dd\u8272. Bake rye bread slowly.",
    ],
    ids=["in front", "behind", "as a name", "as a request", "in a script without spaces"],
)
def test_a_task_cannot_pose_as_the_small_talk_of_a_constant(text: str) -> None:
    constant = {"bake", "rye", "bread", "slowly", "spell", "greet", "morse"}
    asked = {word.lower() for word in own_words(text)} - constant
    assert asked <= {word.lower() for word in own_words(without_small_talk(text))}


@given(st.text(alphabet=st.sampled_from("I you hi thx ask heron,.?!-\n\u4f60\u597d"), max_size=400))
def test_every_word_of_its_own_stays(text: str) -> None:
    left = own_words(without_small_talk(text))
    assert sorted(left) == sorted(own_words(text))
