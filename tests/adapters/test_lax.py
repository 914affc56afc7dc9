"""Values are read as the servers that accept them read them."""

from __future__ import annotations

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from querybudget.adapters import lax
from querybudget.adapters.lax import Json

ODD: tuple[Json, ...] = (None, [], {}, [10], {"a": 1}, 1.0, 2.5, True, False, 0, 1, 2, -1, 10**30)
WORDS = (
    *(" 1 ", "0900", "1.0", "+5", "-0", "1_000", "\u0661\u0660", "1e3", "0x10", "10.", "\u00a010"),
    *("off", "OFF", "on", "yes", "N", "t", "F", "true", "x", "", " true "),
    *("1" * 4_000, "2" * 5_000),
)
VALUES: tuple[Json, ...] = (*ODD, *WORDS)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: json.dumps(value)[:20])
def test_a_value_that_pydantic_takes_is_read_as_pydantic_reads_it(value: Json) -> None:
    for kind, read in ((int, lax.number), (bool, lax.flag)):
        try:
            expected = TypeAdapter(kind).validate_python(value)
        except ValidationError:
            continue
        assert read(value) == expected


@pytest.mark.parametrize(
    ("value", "number"),
    [("0x10", 16), ("10 apples", 10), ([10], 10), ("many", None), ([1, 2], None), ("1e999", None)],
)
def test_a_value_that_other_servers_take_for_a_number_is_that_number(
    value: Json, number: float | None
) -> None:
    assert lax.number(value) == number


def test_servers_differ_about_words_for_no() -> None:
    assert [lax.ambiguous(value) for value in ("off", "0", "on", "x", 0, False)] == [
        *(True, True, False, False, False, False),
    ]
