"""Texts are cut by their content: joined, the chunks are the text, and a change stays local."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.embedding.chunking.chunks import MAXIMUM, MINIMUM, WHOLE, Cutter

CUTTER = Cutter(b"sixteen or more bytes")
WORDS = ["river", "lamp", "seven", "quietly", "orange", "harbour", "between", "winter", "cloud"]


def prose(seed: int, sentences: int) -> str:
    """Return sentences of made-up prose."""
    rng = random.Random(seed)
    return " ".join(
        " ".join(rng.choices(WORDS, k=rng.randrange(4, 20))).capitalize() + "."
        for _ in range(sentences)
    )


texts = st.one_of(
    st.text(st.characters(), max_size=3_000),
    st.builds(prose, st.integers(), st.integers(0, 60)),
    st.builds(lambda sign, size: sign * size, st.characters(), st.integers(0, 5_000)),
    st.builds(lambda line, size: f"{line}\n" * size, st.text(max_size=30), st.integers(0, 200)),
)


@given(texts)
def test_the_chunks_of_any_text_are_the_text(text: str) -> None:
    chunks = CUTTER.cut(text)
    assert "".join(chunks) == text
    assert all(chunks)
    assert all(len(chunk) <= MAXIMUM + MINIMUM for chunk in chunks)
    if len(text) > WHOLE:
        assert all(len(chunk) >= MINIMUM for chunk in chunks)


def test_a_short_text_is_one_chunk() -> None:
    assert CUTTER.cut("") == []
    assert CUTTER.cut("x" * WHOLE) == ["x" * WHOLE]


@given(st.integers(), st.floats(0, 1), st.text(st.characters(), min_size=1, max_size=200))
def test_an_insertion_moves_no_far_border(seed: int, where: float, inserted: str) -> None:
    text = prose(seed, 120)
    at = int(where * len(text))
    before, after = set(CUTTER.cut(text)), CUTTER.cut(text[:at] + inserted + text[at:])
    assert len([chunk for chunk in after if chunk not in before]) <= 6


def test_chunks_have_a_few_hundred_characters() -> None:
    sizes = [len(chunk) for seed in range(5) for chunk in CUTTER.cut(prose(seed, 400))]
    assert 300 <= sum(sizes) / len(sizes) <= 500


def test_chunks_end_with_sentences_and_lines() -> None:
    chunks = CUTTER.cut(prose(1, 300))
    assert sum(chunk.endswith(". ") for chunk in chunks) >= 0.95 * len(chunks)
    chunks = CUTTER.cut("\n".join(prose(seed, 1) for seed in range(300)))
    assert all(chunk.endswith("\n") for chunk in chunks[:-1])


@pytest.mark.parametrize(
    "sentence", ["これは短い文です。", "นี่คือประโยคสั้นๆ ", "这是一个关于河流和山的短句。"]
)
def test_scripts_without_spaces_are_cut_too(sentence: str) -> None:
    text = "".join(f"{number}{sentence}" for number in range(300))
    assert len(CUTTER.cut(text)) >= len(text) // MAXIMUM


def test_another_key_cuts_elsewhere() -> None:
    text = prose(3, 200)
    assert set(CUTTER.cut(text)) & set(Cutter(b"another key").cut(text)) != set(CUTTER.cut(text))
    assert CUTTER.cut(text) == Cutter(b"sixteen or more bytes").cut(text)
