from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from querybudget.embedding import open_embedder
from querybudget.embedding.local import CallableEmbedder, from_target, model2vec
from querybudget.errors import EmbeddingError, SetupError
from querybudget.policy.model import Embedding

SECRET = "what may not be in a log"


def lengths(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 0.0, 1.0] for text in texts]


@pytest.fixture
async def embedder() -> AsyncIterator[CallableEmbedder]:
    made = CallableEmbedder(lengths, name="lengths", dimensions=3, timeout=30)
    yield made
    await made.aclose()


def embedder_of(function: Any, timeout: float = 30) -> CallableEmbedder:
    return CallableEmbedder(function, name="some", dimensions=2, timeout=timeout)


async def test_any_function_of_texts_embeds_at_unit_length(embedder: CallableEmbedder) -> None:
    vectors = await embedder.embed(["abc", "de", ""])
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, 3)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert vectors[0, 0] == pytest.approx(3 / np.sqrt(10))
    assert (embedder.name, embedder.dimensions, embedder.suspends) == ("lengths", 3, True)


async def test_no_texts_need_no_thread(embedder: CallableEmbedder) -> None:
    assert (await embedder.embed([])).shape == (0, 3)
    assert embedder._thread is None


async def test_the_function_runs_off_the_loop_and_never_twice_at_once() -> None:
    threads = set()

    def note(texts: list[str]) -> Any:
        threads.add(threading.get_ident())
        return np.ones((len(texts), 2))

    embedder = embedder_of(note)
    await asyncio.gather(*(embedder.embed([str(n)]) for n in range(20)))
    await embedder.aclose()
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_a_vector_of_zeros_stays_zeros() -> None:
    embedder = embedder_of(lambda texts: np.zeros((len(texts), 2)))
    assert not (await embedder.embed(["a"])).any()
    await embedder.aclose()


async def test_a_long_text_is_sampled() -> None:
    seen: list[int] = []

    def note(texts: list[str]) -> Any:
        seen.extend(map(len, texts))
        return np.ones((len(texts), 2))

    embedder = embedder_of(note)
    await embedder.embed(["word " * 100_000])
    await embedder.aclose()
    assert seen[0] < 10_000


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (np.ones((1, 3)), r"shape \(1, 2\) from some, found \(1, 3\)"),
        (np.ones(2), r"found \(2,\)"),
        (np.ones((2, 2)), r"found \(2, 2\)"),
        ([[1.0, float("nan")]], "finite"),
        ([[1.0, float("inf")]], "finite"),
        ("text", "found a str that is no array of numbers"),
        ([[1.0], [1.0, 2.0]], "found a list that is no array of numbers"),
        (None, "found"),
    ],
    ids=["longer", "flat", "more", "nan", "inf", "text", "ragged", "nothing"],
)
async def test_vectors_of_another_shape_are_an_error(given: Any, found: str) -> None:
    embedder = embedder_of(lambda texts: given)
    with pytest.raises(EmbeddingError, match=found):
        await embedder.embed(["a"])
    await embedder.aclose()


async def test_a_function_that_fails_is_an_error_without_the_text_in_it() -> None:
    def fail(texts: list[str]) -> Any:
        raise ValueError(texts[0])

    embedder = embedder_of(fail)
    with pytest.raises(EmbeddingError, match="some raised ValueError") as caught:
        await embedder.embed([SECRET])
    await embedder.aclose()
    assert SECRET not in str(caught.value)


async def test_a_function_that_takes_too_long_is_late() -> None:
    go = threading.Event()

    def wait(texts: list[str]) -> Any:
        go.wait()
        return np.ones((len(texts), 2))

    embedder = embedder_of(wait, timeout=0)
    with pytest.raises(EmbeddingError, match="some did not answer within 0 s"):
        await embedder.embed(["a"])
    go.set()
    await embedder.aclose()


async def test_a_cancelled_call_leaves_the_others_alone() -> None:
    go, started = threading.Event(), threading.Event()

    def wait(texts: list[str]) -> Any:
        started.set()
        go.wait()
        return np.ones((len(texts), 2))

    embedder = embedder_of(wait)
    first = asyncio.create_task(embedder.embed(["a"]))
    second = asyncio.create_task(embedder.embed(["b"]))
    await asyncio.to_thread(started.wait)
    first.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await second).shape == (1, 2)
    await embedder.aclose()


async def test_too_many_batches_are_refused_at_once() -> None:
    go = threading.Event()

    def wait(texts: list[str]) -> Any:
        go.wait()
        return np.ones((len(texts), 2))

    embedder = embedder_of(wait)
    calls = [asyncio.create_task(embedder.embed([str(n)])) for n in range(256)]
    await asyncio.sleep(0)
    with pytest.raises(EmbeddingError, match="256 batches"):
        await embedder.embed(["one more"])
    go.set()
    await asyncio.gather(*calls)
    await embedder.aclose()


async def test_closing_twice_does_nothing_and_it_may_be_used_again(
    embedder: CallableEmbedder,
) -> None:
    await embedder.embed(["a"])
    await embedder.aclose()
    await embedder.aclose()
    assert (await embedder.embed(["a"])).shape == (1, 3)


def test_a_coroutine_function_is_refused() -> None:
    async def embed(texts: list[str]) -> Any:
        return []

    with pytest.raises(SetupError, match="expected a regular function"):
        embedder_of(embed)


# -- By name ----------------------------------------------------------------------------------


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("house_embedding")
    made.lengths = lengths  # type: ignore[attr-defined]
    made.number = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "house_embedding", made)
    return made


async def test_a_function_is_found_by_its_name(module: ModuleType) -> None:
    spec = Embedding(kind="callable", target="house_embedding:lengths", timeout=30_000_000)
    embedder = open_embedder(spec, 3)
    assert embedder.name == "house_embedding:lengths"
    assert (await embedder.embed(["a"])).shape == (1, 3)
    await embedder.aclose()


@pytest.mark.parametrize(
    "target",
    ["house_embedding", "house_embedding:", "house_embedding:nothing", "no_such:f", ":f", ""],
)
def test_a_target_that_does_not_exist_is_an_error(module: ModuleType, target: str) -> None:
    with pytest.raises(SetupError, match=r"expected package\.module:function"):
        from_target(target, dimensions=3)


def test_a_target_that_is_not_a_function_is_an_error(module: ModuleType) -> None:
    with pytest.raises(SetupError, match=r"expected a function at .*, found int"):
        from_target("house_embedding:number", dimensions=3)


# -- model2vec --------------------------------------------------------------------------------


class FakeStaticModel:
    dim = 3

    @classmethod
    def from_pretrained(cls, path: str) -> FakeStaticModel:
        if path == "missing":
            raise OSError("no such folder")
        return cls()

    def encode(self, texts: list[str]) -> Any:
        return np.array(lengths(texts))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("model2vec")
    package.StaticModel = FakeStaticModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "model2vec", package)


@pytest.mark.usefixtures("installed")
async def test_a_model2vec_model_embeds() -> None:
    spec = Embedding(kind="model2vec", target="/models/potion", timeout=30_000_000)
    embedder = open_embedder(spec, 3)
    assert (embedder.name, embedder.dimensions) == ("model2vec:potion", 3)
    assert (await embedder.embed(["abc"])).shape == (1, 3)
    await embedder.aclose()


@pytest.mark.usefixtures("installed")
def test_a_missing_model_is_an_error_with_its_path() -> None:
    with pytest.raises(SetupError, match="expected a model2vec model at missing"):
        model2vec("missing")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model2vec", None)
    with pytest.raises(SetupError, match=r"pip install 'querybudget\[model2vec\]'"):
        model2vec("any")


def test_an_unknown_kind_of_embedding_is_an_error_that_lists_the_kinds() -> None:
    with pytest.raises(SetupError, match=r"static, remote, model2vec or callable, found 'magic'"):
        open_embedder(Embedding(kind="magic"), 3)


def test_the_static_embedder_is_the_one_that_ships() -> None:
    assert not open_embedder(Embedding(), 128).suspends
