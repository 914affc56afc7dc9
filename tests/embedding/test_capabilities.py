from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from querybudget.embedding.capabilities import Directions, examples_of, shipped_examples
from querybudget.embedding.codebook import Codebook
from querybudget.embedding.static import StaticEmbedder
from querybudget.errors import SetupError
from querybudget.policy.model import CAPABILITIES


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return Codebook.load()


@pytest.fixture(scope="module")
def shipped(codebook: Codebook) -> Directions:
    return Directions.fit([embedded(*examples_of(name)) for name in CAPABILITIES], codebook)


def embedded(*texts: str) -> NDArray[np.float32]:
    return StaticEmbedder.load().vectors(texts)


def named(directions: Directions, text: str) -> set[str]:
    bits = directions.bits(embedded(text)[0])
    return {name for bit, name in enumerate(CAPABILITIES) if bits >> bit & 1}


def test_every_shipped_capability_has_examples() -> None:
    assert tuple(shipped_examples()) == CAPABILITIES
    for examples in shipped_examples().values():
        assert 12 <= len(examples) <= 40
        assert len(set(examples)) == len(examples)


@pytest.mark.parametrize(
    ("text", "capability"),
    [
        ("Write a Python function that sorts a list of dictionaries by key.", "coding"),
        ("What is the sum of 3/4 and 5/6, and how many times does 7 go into 91?", "mathematics"),
        ("Please translate this email into English for me.", "translation"),
        ("Write a short story about a dragon who is afraid of the dark.", "creative_writing"),
        ("Hey, how are you doing today?", "small_talk"),
        ("Rate this answer on a scale from 1 to 10 against the rubric.", "judging"),
        ("Think step by step and show your whole reasoning.", "reasoning_elicitation"),
    ],
)
def test_a_plain_prompt_shows_its_capability(
    shipped: Directions, text: str, capability: str
) -> None:
    assert capability in named(shipped, text)


@pytest.mark.parametrize(
    "text", ["Tuesday blue carpet seventeen the", "The parcel was left with the neighbour."]
)
def test_a_prompt_of_no_capability_shows_few(shipped: Directions, text: str) -> None:
    assert len(named(shipped, text)) <= 3


def test_most_examples_show_their_own_capability(shipped: Directions) -> None:
    for bit, name in enumerate(CAPABILITIES):
        vectors = embedded(*examples_of(name))
        matched = [shipped.bits(vector) >> bit & 1 for vector in vectors]
        assert sum(matched) > 0.5 * len(vectors), name


def test_three_examples_make_a_capability(codebook: Codebook) -> None:
    own = embedded(
        "Is my landlord allowed to raise the rent twice in one year?",
        "Can I terminate a lease early without paying a penalty?",
        "What notice must a tenant give under the contract?",
    )
    directions = Directions.fit([own], codebook)
    asked = embedded(
        "My landlord wants to evict me, how much notice must he give?",
        "Draw a unicorn with crayons.",
    )
    assert [directions.bits(vector) for vector in asked] == [1, 0]


def test_a_single_example_makes_a_capability(codebook: Codebook) -> None:
    directions = Directions.fit([embedded("How long do I boil an egg?")], codebook)
    assert directions.bits(embedded("How long do I boil an egg?")[0]) == 1


def test_more_than_eight_capabilities_have_a_bit_each(shipped: Directions) -> None:
    vectors = embedded(*examples_of("small_talk"))
    assert max(shipped.bits(vector) for vector in vectors) >= 1 << CAPABILITIES.index("small_talk")


def test_own_examples_take_precedence_over_the_shipped_ones() -> None:
    assert examples_of("coding", ["only this"]) == ("only this",)
    assert examples_of("coding") == shipped_examples()["coding"]


def test_an_unknown_capability_without_examples_names_the_nearest() -> None:
    with pytest.raises(SetupError, match=r"`codng`.*did you mean `coding`"):
        examples_of("codng")
    with pytest.raises(SetupError, match="or one of `coding`, `agentic_tool_use`"):
        examples_of("xyz")
