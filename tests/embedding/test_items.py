"""Tasks that are packed into one text are looked at one by one, and other texts as a whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.embedding.chunking.items import items, numbered

TASKS = [
    "Name three rivers of northern Spain.",
    "Which enzyme breaks down lactose, and where?",
    "Write a limerick about a clumsy locksmith.",
    "How many edges does a hexagonal prism have?",
]

LETTER = """Dear Ms Okafor,

thank you for the quick answer. We looked at both rooms again and would like the larger one.

Could we come a day earlier?

Kind regards"""


@pytest.mark.parametrize(
    "packed",
    [
        "\n".join(f"{n}. {task}" for n, task in enumerate(TASKS, 1)),
        "\n\n".join(f"{n}) {task}" for n, task in enumerate(TASKS, 1)),
        "\n".join(f"Task {n}: {task}" for n, task in enumerate(TASKS, 1)),
        "\n\n".join(TASKS),
        "\n---\n".join(TASKS),
        json.dumps(TASKS),
        json.dumps({"tasks": [{"prompt": task} for task in TASKS]}),
    ],
)
def test_packed_tasks_are_told_apart(packed: str) -> None:
    assert items(packed) == TASKS


@pytest.mark.parametrize(
    "text",
    ["", "1. 2. 3.", "Is 3.5 larger than 3. or 4.?\nI think so.", "[not JSON]", "x" * 100],
)
def test_any_other_text_stays_whole(text: str) -> None:
    assert items(text) == [text]


def test_code_with_blank_lines_is_no_list() -> None:
    code = "\n\n".join(f"def area_{n}(a, b):\n    return (a * b) / {n};" for n in range(6))
    assert items(code) == [code]


@pytest.mark.parametrize("mark", ["{}. ", "{}) ", "Task {}: ", "- [{}] "])
@pytest.mark.parametrize("step", [1, 2, 10])
def test_a_list_that_counts_up_is_told_apart_in_what_is_fed(mark: str, step: int) -> None:
    packed = "\n".join(mark.format(7 + step * n) + task for n, task in enumerate(TASKS))
    assert numbered(packed) == TASKS


@pytest.mark.parametrize(
    "text",
    [
        "",
        LETTER,
        json.dumps(TASKS),
        "\n\n".join(TASKS),
        "\n".join(f"{year}: rain on most days" for year in (1961, 1974, 1990, 2003)),
        "1. salt\n2. flour and water\n3. yeast",
    ],
)
def test_any_other_document_stays_whole(text: str) -> None:
    assert numbered(text) == [text]


@given(st.text(alphabet=st.sampled_from('1. \n-[]{}",:aä中'), max_size=300))
def test_no_letter_is_lost_and_none_is_read_twice(text: str) -> None:
    found = items(text)
    if text.strip()[:1] not in {"[", "{"}:
        assert "".join(found).count("中") <= text.count("中")
    assert len(found) == 1 or all(found)


@given(st.lists(st.text(alphabet="ab ", max_size=30), min_size=1, max_size=6), st.integers(0, 99))
def test_every_word_of_a_list_in_what_is_fed_is_read_once(said: list[str], first: int) -> None:
    text = "\n".join(f"{number}. {one}" for number, one in enumerate(said, first))
    words = [word for word in " ".join(numbered(text)).split() if word.isalpha()]
    assert words == " ".join(said).split()
