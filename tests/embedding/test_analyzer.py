from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from querybudget.adapters.base import Call, Dialect
from querybudget.coverage.observation import COARSE, FINE, Observation
from querybudget.embedding.analyzer import MAX_PROMPTS, EmbeddingAnalyzer, open_analyzer
from querybudget.embedding.codebook import Codebook
from querybudget.embedding.static import StaticEmbedder
from querybudget.errors import EmbeddingError, SetupError
from querybudget.policy.model import CAPABILITIES, Capability, Embedding, Policy

KEY = b"sixteen or more bytes"
SECRET = "the password of the vault is swordfish"
SHIPPED = tuple(Capability(name) for name in CAPABILITIES)


def asking(ask: str, *, template: str = "", asks: tuple[str, ...] = ()) -> Call:
    return Call(Dialect.OPENAI, "chat", ask=ask, template=template, asks=asks)


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return Codebook.load()


@pytest.fixture(scope="module")
def shared(codebook: Codebook) -> EmbeddingAnalyzer:
    return EmbeddingAnalyzer(StaticEmbedder.load(), codebook, SHIPPED, KEY)


class Remote:
    """The static embedder as a remote one that counts batches, and can fail or wait."""

    def __init__(self, codebook: Codebook) -> None:
        self.name = codebook.name
        self.dimensions = codebook.dimensions
        self.suspends = True
        self.batches: list[int] = []
        self.raises: Exception | None = None
        self.returns: Any = None
        self.closed = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def embed(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self.batches.append(len(texts))
        await self.gate.wait()
        if self.raises is not None:
            raise self.raises
        if self.returns is not None:
            return self.returns  # type: ignore[no-any-return]
        return StaticEmbedder.load().vectors(texts)

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def remote(codebook: Codebook) -> Remote:
    return Remote(codebook)


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# -- Observations ------------------------------------------------------------------------------


async def test_a_call_has_one_cell(shared: EmbeddingAnalyzer, codebook: Codebook) -> None:
    observation = await shared.analyze(asking("How do I sort a list in Python?"))
    assert len(observation.cells) == 1
    assert 0 <= observation.cells[0] < FINE
    assert 0 <= observation.coarse < COARSE
    assert len(observation.point) == 32
    assert observation.ask != 0
    assert observation.template == 0
    assert observation.capabilities & 1 << CAPABILITIES.index("coding")
    assert len(observation.style) > 0
    assert len(observation.words) > 0


async def test_the_template_does_not_change_the_cells_of_a_prompt(
    shared: EmbeddingAnalyzer,
) -> None:
    one = await shared.analyze(asking("What is a noun?", template="You teach grammar."))
    two = await shared.analyze(asking("What is a noun?", template="You are a pirate."))
    assert one.template != two.template != 0
    assert one.cells == two.cells
    assert one.ask == two.ask


async def test_the_same_template_is_known_by_its_hash(shared: EmbeddingAnalyzer) -> None:
    one = await shared.analyze(asking("What is a noun?", template="You teach grammar."))
    two = await shared.analyze(asking("What is a verb?", template="You teach grammar."))
    assert one.template == two.template
    assert one.ask != two.ask


async def test_an_array_of_prompts_visits_all_their_cells(shared: EmbeddingAnalyzer) -> None:
    texts = ("the taste of lemons", "a proof by induction", "football results", "lemons taste")
    observation = await shared.analyze(asking(texts[0], asks=texts))
    alone = [await shared.analyze(asking(text)) for text in texts]
    assert observation.cells == tuple(sorted({one.cells[0] for one in alone}))
    assert observation.coarse == alone[0].coarse
    assert observation.point == alone[0].point
    assert observation.ask == alone[0].ask
    assert observation.words == alone[0].words
    for one in alone:
        assert observation.capabilities | one.capabilities == observation.capabilities


async def test_prompts_beyond_the_maximum_are_not_embedded(codebook: Codebook) -> None:
    remote = Remote(codebook)
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    await analyzer.analyze(asking("", asks=tuple(f"number {n}" for n in range(200))))
    assert remote.batches == [MAX_PROMPTS]
    await analyzer.aclose()


@pytest.mark.parametrize("ask", ["", " ", "\u200b"])
async def test_a_blank_prompt_has_no_cell(shared: EmbeddingAnalyzer, ask: str) -> None:
    observation = await shared.analyze(asking(ask))
    assert observation.cells == ()
    assert observation.coarse == -1
    assert observation.point == b""
    assert observation.capabilities == 0


@given(
    ask=st.text(st.characters(), max_size=300),
    template=st.text(st.characters(), max_size=50),
    asks=st.lists(st.text(st.characters(), max_size=50), max_size=5),
)
def test_any_call_has_an_observation(
    shared: EmbeddingAnalyzer, ask: str, template: str, asks: list[str]
) -> None:
    observation = asyncio.run(shared.analyze(asking(ask, template=template, asks=tuple(asks))))
    assert list(observation.cells) == sorted(set(observation.cells))
    assert all(0 <= cell < FINE for cell in observation.cells)
    assert (observation.template == 0) == (template == "")
    assert 0 < observation.ask < 1 << 32
    assert shared.missed == 0


async def test_another_key_gives_other_numbers(codebook: Codebook) -> None:
    texts = [f"{verb} {thing}" for verb in ("cook", "paint", "sell") for thing in ("rice", "cars")]
    observations: list[list[Observation]] = []
    for key in (b"one key", b"another key"):
        analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, (), key)
        observations.append([await analyzer.analyze(asking(text, template="x")) for text in texts])
    for one, other in zip(*observations, strict=True):
        assert one.ask != other.ask
        assert one.template != other.template
        assert one.point != other.point
    assert [one.cells for one in observations[0]] != [one.cells for one in observations[1]]


def test_another_process_makes_the_same_observation(shared: EmbeddingAnalyzer) -> None:
    program = (
        "import asyncio, sys\n"
        "from querybudget.adapters.base import Call, Dialect\n"
        "from querybudget.embedding.analyzer import open_analyzer\n"
        "from querybudget.policy.model import Policy\n"
        f"analyzer = open_analyzer(Policy(()), {KEY!r})\n"
        "call = Call(Dialect.OPENAI, 'chat', ask='Is water wet?', template='Be brief.')\n"
        "print(asyncio.run(analyzer.analyze(call)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    observation = asyncio.run(shared.analyze(asking("Is water wet?", template="Be brief.")))
    assert run.stdout.strip() == str(observation)


# -- The cache --------------------------------------------------------------------------------


async def test_a_repeated_ask_is_not_embedded_again(remote: Remote, codebook: Codebook) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    observations = [await analyzer.analyze(asking("Is water wet?")) for _ in range(3)]
    assert remote.batches == [1]
    assert observations[0] == observations[1] == observations[2]
    assert len(observations[0].cells) == 1
    await analyzer.aclose()


async def test_the_cache_of_prompts_is_bounded(codebook: Codebook) -> None:
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, (), KEY, cached=10)
    for n in range(100):
        await analyzer.analyze(asking(f"question {n}"))
    assert len(analyzer._cache) == 10


async def test_a_prompt_given_twice_in_one_call_is_embedded_once(
    remote: Remote, codebook: Codebook
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    await analyzer.analyze(asking("", asks=("twice", "twice", "once")))
    assert remote.batches == [2]
    await analyzer.aclose()


@pytest.mark.slow
async def test_no_text_is_kept(codebook: Codebook) -> None:
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, SHIPPED, KEY)
    observation = await analyzer.analyze(asking(SECRET, template="Guard the " + SECRET))
    assert SECRET.encode() not in repr(observation).encode()
    for key, seen in analyzer._cache.items():
        assert len(key) == 16
        assert SECRET not in repr(seen)
        assert SECRET.encode() not in seen.words + seen.point
    gc.collect()
    kinds = {list, tuple, dict}
    # Copied, because a look at one may change another.
    holders = [
        list(one.values()) if type(one) is dict else list(one)
        for one in gc.get_objects()
        if type(one) in kinds
    ]
    assert not any(
        isinstance(item, str) and item == "Guard the " + SECRET
        for holder in holders
        for item in holder
    )


# -- When it cannot be embedded ---------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [EmbeddingError("late"), ValueError(SECRET), RuntimeError(), KeyError(SECRET)]
)
async def test_if_the_embedder_fails_the_observation_has_no_cells(
    remote: Remote, codebook: Codebook, failure: Exception
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, SHIPPED, KEY)
    remote.raises = failure
    observation = await analyzer.analyze(asking("Is water wet?", template="Be brief."))
    assert observation.cells == ()
    assert observation.coarse == -1
    assert observation.point == b""
    assert observation.capabilities == 0
    assert observation.template != 0
    assert observation.ask != 0
    assert observation.words != b""
    assert analyzer.missed == 1
    await analyzer.aclose()


@pytest.mark.parametrize(
    "returned", [np.zeros((2, 128)), np.zeros(128), None, []], ids=["more", "flat", "none", "list"]
)
async def test_if_the_embedder_returns_something_else_the_call_is_counted_as_missed(
    remote: Remote, codebook: Codebook, returned: Any
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    remote.returns = [] if returned is None else returned
    assert (await analyzer.analyze(asking("Is water wet?"))).cells == ()
    assert analyzer.missed == 1
    await analyzer.aclose()


async def test_a_missed_prompt_is_embedded_the_next_time(
    remote: Remote, codebook: Codebook
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    remote.raises = EmbeddingError("late")
    assert (await analyzer.analyze(asking("Is water wet?"))).cells == ()
    remote.raises = None
    assert len((await analyzer.analyze(asking("Is water wet?"))).cells) == 1
    await analyzer.aclose()


async def test_an_outage_and_its_end_are_logged_once_each(
    remote: Remote, codebook: Codebook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "querybudget")
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    for error in (ValueError(SECRET), EmbeddingError("late"), ValueError(SECRET)):
        remote.raises = error
        await analyzer.analyze(asking("down"))
    remote.raises = None
    for n in range(40):
        await analyzer.analyze(asking(f"up {n}"))
    assert [record.getMessage() for record in caplog.records] == [
        "prompts cannot be embedded, so calls are not counted in buckets: ValueError",
        "prompts are embedded again; 3 calls were not counted in buckets",
    ]
    await analyzer.aclose()


async def test_a_cancelled_call_is_cancelled(remote: Remote, codebook: Codebook) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    remote.gate.clear()
    call = asyncio.create_task(analyzer.analyze(asking("Is water wet?")))
    await turns()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert analyzer.missed == 0
    await analyzer.aclose()


# -- Heuristics ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "capability"),
    [
        ("What is wrong here?\n```\nx = 1\n```", "coding"),
        ("import re\nword = 3", "coding"),
        ("Pretend to be a cloud over Bavaria.", "role_play"),
        ('"I want you to act as a teapot."', "role_play"),
        ("Is it raining? Think step by step.", "reasoning_elicitation"),
    ],
)
async def test_a_heuristic_is_enough_for_its_capability(
    shared: EmbeddingAnalyzer, ask: str, capability: str
) -> None:
    observation = await shared.analyze(asking(ask))
    assert observation.capabilities & 1 << CAPABILITIES.index(capability)


async def test_a_capability_with_its_own_examples_has_no_heuristic(codebook: Codebook) -> None:
    own = Capability("role_play", examples=("Grill the fish.", "Boil two eggs.", "Bake bread."))
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, [own], KEY)
    observation = await analyzer.analyze(
        asking("Pretend to be an import clerk at the harbour office.")
    )
    assert observation.capabilities == 0


# -- Examples embedded remotely -------------------------------------------------------------------


async def test_examples_are_embedded_in_the_background_of_the_first_calls(
    remote: Remote, codebook: Codebook, shared: EmbeddingAnalyzer
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, SHIPPED, KEY)
    ask = asking("Write a Python function that sorts a list.")
    assert (await analyzer.analyze(ask)).capabilities == 0
    await turns()
    assert max(remote.batches) <= 32
    assert await analyzer.analyze(ask) == await shared.analyze(ask)
    assert analyzer.names == CAPABILITIES
    await analyzer.aclose()


async def test_examples_that_fail_are_retried_with_a_later_call(
    remote: Remote, codebook: Codebook
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, SHIPPED, KEY)
    ask = asking("Write a Python function that sorts a list.")
    await analyzer.analyze(ask)
    remote.raises = EmbeddingError("late")
    await turns()
    assert analyzer.missed == 1
    remote.raises = None
    await analyzer.analyze(ask)
    await turns()
    assert (await analyzer.analyze(ask)).capabilities != 0
    await analyzer.aclose()


async def test_closing_cancels_the_embedding_of_examples(
    remote: Remote, codebook: Codebook
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, SHIPPED, KEY)
    await analyzer.analyze(asking("hello"))
    remote.gate.clear()
    await turns()
    await analyzer.aclose()
    await analyzer.aclose()
    assert remote.closed == 2
    assert not any("_try_to_fit" in repr(task) for task in asyncio.all_tasks())


# -- Set up wrong -----------------------------------------------------------------------------


def test_a_codebook_of_another_embedding_is_refused(codebook: Codebook, remote: Remote) -> None:
    remote.name = "bge-m3"
    with pytest.raises(SetupError, match=r"made for bge-m3 with .* dimensions, found one for que"):
        EmbeddingAnalyzer(remote, codebook, (), KEY)


def test_a_codebook_of_other_dimensions_is_refused(codebook: Codebook, remote: Remote) -> None:
    remote.dimensions = 3
    with pytest.raises(SetupError, match="with 3 dimensions"):
        EmbeddingAnalyzer(remote, codebook, (), KEY)


def test_an_empty_key_is_refused(codebook: Codebook) -> None:
    with pytest.raises(SetupError, match="empty"):
        EmbeddingAnalyzer(StaticEmbedder.load(), codebook, (), b"")


def test_a_capability_without_examples_is_refused(codebook: Codebook) -> None:
    with pytest.raises(SetupError, match="did you mean `coding`"):
        EmbeddingAnalyzer(StaticEmbedder.load(), codebook, [Capability("codingg")], KEY)


async def test_an_embedder_that_waits_must_say_so(codebook: Codebook) -> None:
    remote = Remote(codebook)
    remote.suspends = False
    remote.gate.clear()
    with pytest.raises(SetupError, match="suspends"):
        EmbeddingAnalyzer(remote, codebook, SHIPPED, KEY)


def test_an_embedding_without_its_codebook_says_how_to_make_one() -> None:
    policy = Policy((), embedding=Embedding(kind="remote", url="http://tei/v1/embeddings"))
    with pytest.raises(SetupError, match=r"Codebook\.fit"):
        open_analyzer(policy, KEY)


async def test_an_embedding_comes_with_its_own_codebook(codebook: Codebook, tmp_path: Path) -> None:
    url = "http://tei/v1/embeddings"
    Codebook(url, codebook.mean, codebook.coarse, codebook.fine, codebook.axes).save(
        tmp_path / "cells.npz"
    )
    spec = Embedding(kind="remote", url=url, codebook=str(tmp_path / "cells.npz"))
    analyzer = open_analyzer(Policy((), embedding=spec), KEY)
    assert analyzer.suspends
    assert analyzer.names == CAPABILITIES
    await analyzer.aclose()


def test_the_package_loads_no_numpy_until_something_is_embedded() -> None:
    program = (
        "import sys, querybudget, querybudget.embedding\n"
        "print(sorted({'numpy', 'httpx', 'yaml'} & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert run.stdout.strip() == "[]"
