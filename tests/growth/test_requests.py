"""What stands around a body, of any length, is read within bounds and not kept."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable

import pytest

from querybudget.adapters.base import Target
from querybudget.adapters.model_names import LONGEST_QUERY, models_of
from querybudget.asgi.encodings import acceptable, parse_codings
from querybudget.asgi.middleware import QueryBudgetMiddleware
from querybudget.errors import BodyError
from querybudget.identity.keys import api_key
from querybudget.policy.carriers import Carrier
from querybudget.testing import drive, http_scope, request
from tests.asgi.test_bodies import Counting
from tests.growth.instructions import instructions

LONG = 200_000
"""Characters, far more than any reader of them takes."""

ENOUGH = 40_000
"""Instructions for a header or a query of any length."""


def read_query(query: str) -> None:
    with pytest.raises(BodyError):
        models_of(Target("/v1/chat/completions", query), "m")


def resolve_key(query: str) -> None:
    carriers = (Carrier(kind="query", name="key"), Carrier(kind="cookie", name="key"))
    api_key(carriers)({"headers": [], "query_string": query.encode()})


READERS: dict[str, Callable[[str], object]] = {
    "models in a query": read_query,
    "keys in a query": resolve_key,
    "codings to accept": lambda text: acceptable(text.encode()),
    "codings of a body": lambda text: parse_codings(text.encode()),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("unit", ["&", ",", "model=a&", "%6dodel=%41&", "%4d&", "gzip,", "*;q=0,"])
def test_more_of_it_takes_no_more_instructions(reader: str, unit: str) -> None:
    assert instructions(READERS[reader], unit * (LONG // len(unit))) < ENOUGH


@pytest.mark.parametrize("name", ["model", "MODEL", "%6dodel", "%4D%4F%44%45%4C"])
def test_a_model_in_a_query_is_found_in_any_spelling_of_its_name(name: str) -> None:
    query = "a=1&&" + "b" * (LONGEST_QUERY - 100) + f"&{name}=dear%2f1"
    assert models_of(Target("/v1/chat/completions", query), "cheap").first == "dear/1"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "place", ["member", "model", "accept-encoding", "content-encoding", "authorization", "path"]
)
async def test_nothing_long_that_a_stranger_sends_is_kept(place: str) -> None:
    """Not in a cache either: the names of members, of models, of codings, and whole headers."""
    app = QueryBudgetMiddleware(Counting(), {"budgets": [{"name": "n", "limit": "9 tokens/day"}]})

    async def ask(number: int) -> None:
        text = f"{number}" + "a" * LONG
        body: dict[str, object] = {"model": "m", "messages": []}
        headers, path = {"authorization": "Bearer a"}, "/v1/chat/completions"
        if place == "member":
            body[text] = 1
        elif place == "model":
            body["model"] = text
        elif place == "path":
            path = f"/v1/{text}"
        else:
            headers[place] = text
        await drive(app, http_scope(path, headers=headers), request(json.dumps(body).encode()))

    for number in range(3):
        await ask(number)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(3, 23):
            await ask(number)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 10 * LONG
