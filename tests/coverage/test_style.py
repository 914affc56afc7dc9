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
        ("question", "Is it open on Sunday?", "It is open on Sunday."),
        ("question", "今天几点开门？", "今天开门。"),  # noqa: RUF001 - as it is written
        ("sentence", "Name three rivers.", "three rivers"),
        ("capital", "Name three rivers", "name three rivers"),
        ("lower", "name three rivers", "Name three rivers"),
        ("first_person", "can i bring my dog", "are dogs allowed"),
        ("first_person", "kann ich meinen Hund mitbringen", "sind Hunde erlaubt"),
        ("first_person", "我可以带狗吗", "可以带狗吗"),
        ("courtesy", "thanks, that helps", "that helps"),
        ("reference", "and what about that one", "and what about the red kettle"),
        ("interrogative", "how do kettles whistle", "kettles whistle"),
        ("instruction", "Explain how kettles whistle", "kettles whistle"),
        ("instruction", "请解释水壶为什么会响", "水壶会响"),
        ("lines", "one\ntwo", "one two"),
        ("options", "Which is it?\nA. tea\nB. coffee\nC. milk", "Which is it, tea or coffee?"),
        ("options", "Which? (A) tea (B) coffee", "Which? Plan A tea, plan B coffee"),
        ("reasoning", "Give your reasoning", "Give your name"),
        ("judging", "Grade this essay", "Read this essay"),
        ("format", "Put it in json", "Put it there"),
        ("short", "and then?", "and then, after the second time that the kettle whistled?"),
        ("second_person", "what do you think", "what do they think"),
        ("quotes", 'say "cheese"', "say cheese"),
    ],
)
def test_each_feature_is_recognised(name: str, yes: str, no: str) -> None:
    assert feature(yes, name) == 100
    assert feature(no, name) == 0


def test_scripts_without_capitals_have_neutral_values() -> None:
    chinese, upper, lower = "今天天气很好", "Fine weather", "fine weather"
    for name in ("capital", "lower"):
        assert feature(upper, name) != feature(chinese, name) != feature(lower, name)


def test_scripts_without_spaces_have_words_too() -> None:
    assert shared_words("水壶会响", "水壶不响") > 0
    assert shared_words("水壶会响", "今天下雨") == 0


def test_words_match_in_any_case_and_position() -> None:
    assert shared_words("The Kettle whistles", "no kettle here") == 1


def test_a_longer_text_has_a_larger_size() -> None:
    sizes = [feature("a" * length, "size") for length in (1, 3, 10, 30, 100, 1_000, 100_000)]
    assert sizes == sorted(set(sizes))


def test_only_the_beginning_of_a_text_is_read_except_for_its_size() -> None:
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
