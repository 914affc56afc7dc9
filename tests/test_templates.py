"""Templates that are alike have numbers in common; strangers have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.templates import ENDS, REACH, Likeness

KEYS = [bytes([number]) * 16 for number in range(12)]
ACCOUNTS = 60

TEMPLATE = (
    "You are the support assistant of a garden centre. Answer questions about plants, soil and"
    " tools in a friendly tone, and keep each reply under five sentences. If a customer asks about"
    " an order, ask for the order number first and then look it up with the tool. Never promise a"
    " delivery date. When someone is upset, apologise once and offer to connect them with a"
    " colleague. Do not discuss competitors or prices that are not on the list. Close each reply"
    " with a short question that helps the customer to take the next step in the garden."
)
CHINESE = (
    "你是一家园艺中心的客服助手。请用友好的语气回答有关植物、土壤和工具的问题。每次回复不超过五句话。"
    "如果客户询问订单。请先索取订单号。然后用工具查询。不要承诺送货日期。"
)
STRANGERS = [
    "You are a helpful assistant. Translate what the user writes into Portuguese and keep names.",
    "You are a helpful assistant. Grade the essay from one to six and give two reasons for it.",
    "You are a helpful assistant. Return the invoice as JSON with the fields total and currency.",
    "You are a helpful assistant. Play the keeper of a lighthouse who has not spoken for years.",
    "You are a helpful assistant. Write SQL for the tables below, and never change any data.",
    "You are a helpful assistant. Remind people of their medicine, kindly, and in short words.",
    "You are a helpful assistant. Review code for races and leaks, and quote the lines you mean.",
    "You are a helpful assistant. Plan trips by train, with changes of ten minutes or more.",
]


def in_one_pool(variants: list[str]) -> float:
    """The share of variants that are in the largest pool of either end, over many keys."""
    shares: list[float] = []
    for key in KEYS:
        likeness = Likeness(key)
        numbers = [likeness.numbers(variant) for variant in variants]
        largest = [Counter(end).most_common(1)[0][0] for end in zip(*numbers, strict=True)]
        together = [any(a == b for a, b in zip(each, largest, strict=True)) for each in numbers]
        shares.append(mean(together))
    return mean(shares)


def with_one_word_changed(words: Sequence[str]) -> list[str]:
    variants: list[str] = []
    for number in range(ACCOUNTS):
        at = number * 7 % len(words)
        variants.append(" ".join([*words[:at], f"other{chr(97 + number % 26)}", *words[at + 1 :]]))
    return variants


@pytest.mark.parametrize(("words", "least"), [(20, 0.75), (50, 0.9), (90, 0.95)])
def test_one_word_changed_in_each_account_keeps_most_in_one_pool(words: int, least: float) -> None:
    assert in_one_pool(with_one_word_changed(TEMPLATE.split()[:words])) > least


def test_a_sentence_said_in_other_words_in_each_account_keeps_most_in_one_pool() -> None:
    sentences = TEMPLATE.split(". ")
    rests = ["be kind", "stay calm and polite", "think before you write", "use plain words always"]
    variants = [
        ". ".join([*sentences[:at], f"{rest} {extra}", *sentences[at + 1 :]])
        for at in range(len(sentences))
        for rest in rests
        for extra in ("now", "today please")
    ]
    assert in_one_pool(variants) > 0.7


def test_a_character_changed_in_each_account_keeps_most_in_one_pool_without_spaces_too() -> None:
    signs = list("山水火木金土日月天地人口手足")
    variants = [
        CHINESE[:at] + signs[at % len(signs)] + CHINESE[at + 1 :] for at in range(len(CHINESE))
    ]
    assert in_one_pool(variants) > 0.8


@pytest.mark.parametrize(
    "written",
    [
        "Today is {}.",
        "The user's id is {}.",
        "You talk to {} and know the shop by heart.",
        "See {} for the rules.",
    ],
)
def test_numbers_dates_names_ids_and_addresses_change_nothing(written: str) -> None:
    values = [
        "2026-11-26",
        "26 November 2026",
        "user_8f3a2c19",
        "550e8400-e29b-41d4-a716-446655440000",
        "Alice Miller",
        "https://example.com/rules?id=7",
        "someone@example.com",
    ]
    for key in KEYS:
        likeness = Likeness(key)
        assert len({likeness.numbers(f"{TEMPLATE} {written.format(v)}") for v in values}) == 1


def test_a_language_that_writes_nouns_with_capitals_keeps_them() -> None:
    likeness = Likeness(KEYS[0])
    about = "Du bist ein Experte für {} und erklärst Anfängern jede Frage mit einem Beispiel."
    assert likeness.numbers(about.format("Steuerrecht")) != likeness.numbers(about.format("Kochen"))


def test_strangers_who_begin_with_the_same_sentence_are_not_alike() -> None:
    together = pairs = 0
    for key in KEYS:
        numbers = [Likeness(key).numbers(stranger) for stranger in STRANGERS]
        for index, one in enumerate(numbers):
            for other in numbers[:index]:
                pairs += 1
                together += any(a == b for a, b in zip(one, other, strict=True))
    assert together / pairs < 0.03


def test_what_is_put_in_one_place_does_not_change_both_numbers() -> None:
    likeness = Likeness(KEYS[0])
    documents = [f"{word} " * 400 for word in ("harbour", "violin", "glacier")]
    assert len({likeness.numbers(f"{TEMPLATE} {document}")[0] for document in documents}) == 1
    assert len({likeness.numbers(f"{document} {TEMPLATE}")[1] for document in documents}) == 1


def test_only_both_ends_of_a_template_are_looked_at() -> None:
    likeness = Likeness(KEYS[0])
    ends = "a" * 3 + " b" * REACH, "c " * REACH
    short, long = (likeness.numbers(middle.join(ends)) for middle in ("", "x" * 10_000_000))
    assert short == long


def test_another_key_gives_other_numbers() -> None:
    assert (
        len({number for key in KEYS for number in Likeness(key).numbers(TEMPLATE)})
        == len(KEYS) * ENDS
    )


@given(st.text(max_size=300))
def test_any_text_has_a_number_for_each_end_and_always_the_same(text: str) -> None:
    numbers = Likeness(KEYS[0]).numbers(text)
    assert numbers == Likeness(KEYS[0]).numbers(text)
    assert len(numbers) == ENDS
    assert all(0 <= number < 1 << 64 for number in numbers)
