"""What is asked cheaply before an expression hides nothing that the expression would find."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage.observation import MAX_CHUNKS
from querybudget.embedding.chunking.choice import chosen_of
from querybudget.embedding.normalization.marks import unmarked, without_identifiers

LETTERS, DIGITS = "abcdefABCDEF", "0123456789"
AROUND = st.sampled_from(["", " ", "\n", ", see ", "(", "\u2019", "\u00e9 ", "\U0001f4a1"])
SIGNS = st.sampled_from(LETTERS + DIGITS)


@st.composite
def uuids(draw: st.DrawFn) -> str:
    signs = draw(st.sampled_from([LETTERS, DIGITS, LETTERS + DIGITS]))
    groups = [draw(st.text(signs, min_size=size, max_size=size)) for size in (8, 4, 4, 4)]
    return "-".join([*groups, draw(st.text(DIGITS, min_size=12, max_size=12))])


@st.composite
def digests(draw: st.DrawFn) -> str:
    signs = [*draw(st.text(DIGITS, min_size=2, max_size=12)), *draw(st.text(LETTERS, min_size=9))]
    return "".join(["7", *draw(st.permutations(signs))])


@st.composite
def grouped(draw: st.DrawFn) -> str:
    mixed = draw(st.lists(st.sampled_from(["a1b", "7cc", "dd9"]), min_size=2, max_size=3))
    others = draw(st.lists(st.text(SIGNS, min_size=3, max_size=8), max_size=3))
    return "-".join(["0abc", *draw(st.permutations([*mixed, *others]))])


RANDOM = st.lists(st.sampled_from(["aB", "Cd", "eFG"]), min_size=8, max_size=12).map("".join)


@given(start=AROUND, found=st.one_of(uuids(), digests(), grouped(), RANDOM), end=AROUND)
def test_every_identifier_is_taken_off(start: str, found: str, end: str) -> None:
    rest = "Say what the words before this mean, and why they are here. " * 3
    assert without_identifiers(f"{rest} {start}{found}{end} ") == f"{rest} {start}0{end} "


@pytest.mark.parametrize("word", ["wa1ter", "br3ad", "fl0ur", "ov7en", "ba4king"])
def test_digits_inside_words_are_taken_off_however_near_the_words_are(word: str) -> None:
    bare = "".join(sign for sign in word if sign.isalpha())
    assert unmarked(" ".join([word] * 4), {bare}.__contains__) == " ".join([bare] * 4)


@given(own=st.lists(st.text("xyz ", max_size=30), min_size=6, max_size=9))
def test_what_all_short_lines_begin_with_is_taken_off(own: list[str]) -> None:
    lines = [f"row {number}: {words}" for number, words in enumerate(own)]
    found = unmarked("\n".join(lines), lambda _: False)
    assert "row" not in found
    assert found.split() == " ".join(own).split()


@given(
    sent=st.sets(
        st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(2**63, 2**64 - 1)),
        max_size=4 * MAX_CHUNKS,
    )
)
def test_the_smallest_digests_of_what_was_sent_are_chosen_however_they_are_spread(
    sent: set[int],
) -> None:
    assert {*chosen_of({}, sent, 0)} == {*sorted(sent)[:MAX_CHUNKS]}
