from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage.style import READ_CHARACTERS, STYLE_FEATURES, WORD_BITS, style_features


def feature(text: str, name: str) -> int:
    return style_features(text)[0][STYLE_FEATURES.index(name)]


def shared_words(one: str, other: str) -> int:
    a, b = (int.from_bytes(style_features(text)[1], "little") for text in (one, other))
    return (a & b).bit_count()


@pytest.mark.parametrize("text", ["", "   ", "\n\t "])
def test_blank_text_has_no_features(text: str) -> None:
    assert style_features(text) == ((), b"")


@given(st.text(max_size=2 * READ_CHARACTERS))
def test_any_text_gives_small_integers_and_a_bitmap_of_fixed_size(text: str) -> None:
    traits, words = style_features(text)
    if traits:
        assert len(traits) == len(STYLE_FEATURES)
        assert all(0 <= value <= 10 * READ_CHARACTERS for value in traits)
        assert len(words) == WORD_BITS // 8


@given(st.text(max_size=READ_CHARACTERS))
def test_the_same_text_has_the_same_features(text: str) -> None:
    assert style_features(text) == style_features(text)


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("first_person", "can i bring my dog", "are dogs allowed"),
        ("first_person", "kann ich meinen Hund mitbringen", "sind Hunde erlaubt"),
        ("first_person", "我可以带狗吗", "可以带狗吗"),
        ("courtesy", "thanks, that helps", "that helps"),
        ("reference", "and what about that one", "and what about the red kettle"),
        ("interrogative", "how do kettles whistle", "kettles whistle"),
        ("instruction", "Explain how kettles whistle", "kettles whistle"),
        ("instruction", "请解释水壶为什么会响", "水壶会响"),
        ("options", "Which is it?\nA. tea\nB. coffee\nC. milk", "Which is it, tea or coffee?"),
        ("options", "Which? (A) tea (B) coffee", "Which? Plan A tea, plan B coffee"),
        ("reasoning", "Give your reasoning", "Give your name"),
        ("judging", "Grade this essay", "Read this essay"),
        ("format", "Put it in json", "Put it there"),
        ("second_person", "what do you think", "what do they think"),
    ],
)
def test_each_feature_is_recognised(name: str, yes: str, no: str) -> None:
    assert feature(yes, name) == 100
    assert feature(no, name) == 0


@pytest.mark.parametrize(
    "text", ['Explain how kettles whistle. I, too, want "that" one!', "Grade this: A. tea B. milk"]
)
def test_case_and_punctuation_change_nothing(text: str) -> None:
    bare = re.sub(r'[.,!:"]', " ", text).lower().strip()
    some = [index for index, name in enumerate(STYLE_FEATURES) if name not in {"options", "digits"}]
    found, plain = style_features(text), style_features(bare)
    assert [found[0][index] for index in some] == [plain[0][index] for index in some]
    assert found[1] == plain[1]


def test_scripts_without_spaces_have_words_too() -> None:
    assert shared_words("水壶会响", "水壶不响") > 0
    assert shared_words("水壶会响", "今天下雨") == 0


def test_words_match_in_any_case_and_position() -> None:
    assert shared_words("The Kettle whistles", "no kettle here") == 1


def test_only_the_beginning_of_a_text_is_read() -> None:
    long = "kettle " * 1_000
    assert style_features(long + "whistle")[1] == style_features(long + "sing")[1]


def test_features_stay_right_when_the_cache_of_words_is_cleared() -> None:
    before = style_features("the kettle whistles")
    for number in range(40_000):
        style_features(f"word{number}")
    assert style_features("the kettle whistles") == before


_OPTIONS = re.compile(r"(?:^|\s)\(?A[).:]\s[^\n]{0,300}?\s+\(?B[).:]\s")
"""What options are, in one expression. It backtracks, so it is fit for short texts only."""

_PIECES = ["A", "B", "(", " A. ", " B. ", "(A)", "B)", " ", "\n", "x", "y" * 299, " " * 290]


@given(st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
def test_options_are_an_answer_called_a_and_one_called_b_after_it(text: str) -> None:
    text = f"Which?{text}"[:READ_CHARACTERS]
    assert feature(text, "options") == 100 * (_OPTIONS.search(text) is not None)
