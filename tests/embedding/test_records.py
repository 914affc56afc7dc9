"""A task among records of something else is read by itself, and other texts as they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.embedding.chunking.records import MOST, MOST_OTHERS, records

TASK = "Which enzyme breaks down lactose, and where in the body?"
COVER = [
    "My parcel was left in the rain again, and the box is soft.",
    "The driver rang the bell of the wrong house on Tuesday.",
    "Nobody has answered my two letters about the broken lamp.",
]
ALL = [*COVER[:2], TASK, COVER[2]]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ALL),
        json.dumps([{"id": n, "text": one} for n, one in enumerate(ALL)], indent=2),
        "\n".join(json.dumps({"text": one}) for one in ALL),
        json.dumps(ALL)[:-1] + ", cut o",
        "Here they are:\n" + json.dumps(ALL) + "\nreply to the third",
        "\n".join(f'{n};"{one}";open' for n, one in enumerate(ALL)),
        "\n".join(f"<{nick}> {one}" for nick, one in zip("abcd", ALL, strict=True)),
        "\n".join(f"[12:0{n}] Ann: {one}" for n, one in enumerate(ALL)),
        f"def lamp(a):\n    return a[0]\n\nTEXT = {json.dumps(TASK)}\nlamp(TEXT)  # prints it",
        json.dumps([COVER[0], TASK]),
    ],
)
def test_a_task_among_records_is_read_by_itself(text: str) -> None:
    assert any(one.endswith(TASK) and len(one) < len(TASK) + 16 for one in records(text))


def test_short_lines_of_a_chat_belong_to_the_record_before_them() -> None:
    said = [f"<ann> {COVER[0]}", *["<bob> ok"] * 500, f"<ann> {TASK}"]
    assert records("\n".join(said)) == [" ".join(said[:-1]), said[-1]]


def test_what_is_around_records_is_read_too() -> None:
    around = "Look at these, please.", "What would you reply?"
    text = "\n".join([around[0], json.dumps(ALL), around[1]])
    assert records(text) == [around[0], *ALL, around[1]]


def test_short_strings_beside_records_are_one_record() -> None:
    assert records(json.dumps([*ALL, "red lamp", "blue boat"])) == [*ALL, "red lamp\nblue boat"]


@pytest.mark.parametrize(
    "frame",
    [
        {"task": TASK, "id": 7},
        [TASK],
        {"model": None, "ask": {"text": TASK, "share": 0.5}, "stream": True},
        {TASK: 1},
    ],
)
def test_json_around_a_text_is_its_frame(frame: object) -> None:
    assert records(json.dumps(frame)) == (TASK,)


def test_short_strings_of_json_are_read_too() -> None:
    assert records(json.dumps({"in": "Finnish", "task": TASK})) == (f"Finnish\n{TASK}",)


@pytest.mark.parametrize(
    "text",
    [
        TASK,
        "",
        "{}",
        "[not JSON]",
        json.dumps({"a": "one", "b": "two"}),
        'He shook his head. "I have told you all that I know of this," he said, and left.',
        "Dear all,\n\nNote: we meet at nine.\n\nBring the plans of the house, and a lamp.\nAnn",
        "def area(a: int, b: int) -> int:\n    width: int = a\n    height: int = b\n    return a",
        json.dumps([f"Which river has the number {n} on our map?" for n in range(MOST + 1)]),
    ],
)
def test_any_other_text_stays_whole(text: str) -> None:
    assert records(text) == (text,)


def test_many_numbers_in_json_may_be_letters() -> None:
    text = json.dumps({"note": "a short note", "codes": [97] * (MOST_OTHERS + 1)})
    assert records(text) == (text,)


@given(st.text(alphabet=st.sampled_from('[]{}",:;|=<>\\\n\t ab\ud800中'), max_size=400))
def test_any_text_is_read_as_few_records_that_are_no_longer_than_it(text: str) -> None:
    found = records(text)
    assert 0 < len(found) <= MOST
    assert sum(map(len, found)) <= len(text) + len(found)
