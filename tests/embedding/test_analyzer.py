from __future__ import annotations

import asyncio
import base64
import gc
import logging
import random
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from querybudget.adapters.base import Call, Channel, Dialect, Opaque, Segment
from querybudget.coverage.leaning import DIRECTIONS
from querybudget.coverage.observation import COARSE, FINE, GOES_ON, MAX_CHUNKS, Chunk, Observation
from querybudget.embedding.analyzer import MAX_OPAQUE, EmbeddingAnalyzer, open_analyzer
from querybudget.embedding.chunking.choice import SAID_FIRST
from querybudget.embedding.codebook import Codebook
from querybudget.embedding.static import StaticEmbedder
from querybudget.errors import EmbeddingError, SetupError
from querybudget.policy.model import CAPABILITIES, Capability, Embedding, Policy

KEY = b"sixteen or more bytes"
SECRET = "the password of the vault is swordfish"
WORDS = ["river", "lamp", "seven", "quietly", "orange", "harbour", "between", "winter", "cloud"]
SHIPPED = tuple(Capability(name) for name in CAPABILITIES)


def asking(*said: str, fed: tuple[str, ...] = (), template: str = "") -> Call:
    """Return a call that says texts, behind what is fed to the model."""
    segments = [Segment(Channel.FED, text) for text in (template, *fed) if text]
    segments += [Segment(Channel.SAID, text) for text in said]
    return Call(Dialect.OPENAI, "chat", template=template, segments=tuple(segments))


def prose(seed: int, sentences: int) -> str:
    rng = random.Random(seed)
    return " ".join(" ".join(rng.choices(WORDS, k=9)).capitalize() + "." for _ in range(sentences))


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


async def test_a_short_prompt_is_one_chunk(shared: EmbeddingAnalyzer) -> None:
    observation = await shared.analyze(asking("How do I sort a list in Python?"), "one")
    (chunk,) = observation.said
    assert 0 <= chunk.cell < FINE
    assert 0 <= chunk.coarse < COARSE
    assert len(chunk.point) == 32
    assert len(chunk.leaning) == len(DIRECTIONS)
    assert chunk.abilities & 1 << CAPABILITIES.index("coding")
    assert chunk.capabilities == chunk.abilities == observation.capabilities
    assert len(chunk.style) > 0
    assert len(chunk.words) > 0
    assert observation.template == 0
    assert not observation.fed
    assert not observation.opaque


async def test_what_is_fed_is_apart_from_what_is_said(shared: EmbeddingAnalyzer) -> None:
    call = asking("What is a noun?", template="You teach grammar.", fed=("Nouns name things.",))
    observation = await shared.analyze(call, "two")
    assert [len(observation.said), len(observation.fed)] == [1, 2]
    assert observation.template != 0
    other = await shared.analyze(asking("What is a noun?", template="You are a pirate."), "two")
    assert observation.template != other.template != 0
    assert observation.said == other.said
    same = await shared.analyze(asking("What is a verb?", template="You teach grammar."), "two")
    assert same.template == observation.template


async def test_capabilities_are_those_of_what_is_said(shared: EmbeddingAnalyzer) -> None:
    call = asking("Hello there!", fed=("Write a Python function that sorts a list.",))
    observation = await shared.analyze(call, "three")
    assert observation.capabilities == observation.said[0].capabilities
    assert observation.fed[0].capabilities & 1 << CAPABILITIES.index("coding")


async def test_what_is_no_text_is_opaque(shared: EmbeddingAnalyzer) -> None:
    one, two = Opaque("tokens", "1,2,3"), Opaque("unreadable", "1,2,3")
    call = Call(Dialect.OPENAI, "chat", opaque=(one, two, one))
    observation = await shared.analyze(call, "five")
    assert observation.said == observation.fed == ()
    assert len(observation.opaque) == 2
    many = tuple(Opaque("tokens", str(n)) for n in range(200))
    call = Call(Dialect.OPENAI, "chat", opaque=many)
    assert len((await shared.analyze(call, "five")).opaque) == MAX_OPAQUE


@pytest.mark.parametrize("kind", ["image", "audio", "file", "reference"])
async def test_a_new_picture_or_reference_in_each_call_is_no_new_ground(
    shared: EmbeddingAnalyzer, kind: str
) -> None:
    call = Call(Dialect.OPENAI, "chat", opaque=(Opaque(kind, "1"),))
    assert (await shared.analyze(call, "five")).opaque == ()


async def test_a_text_that_is_no_language_is_opaque_each_time(shared: EmbeddingAnalyzer) -> None:
    data = base64.b64encode(random.Random(1).randbytes(240)).decode()
    first, again = [await shared.analyze(asking(data), "six") for _ in range(2)]
    assert first.said == ()
    assert len(first.opaque) == 1
    assert first == again


async def test_an_encoded_prompt_is_the_prompt(shared: EmbeddingAnalyzer) -> None:
    text = "Write a short story about a dragon who lives in a library."
    hidden = base64.b64encode(text.encode()).decode()
    plain = await shared.analyze(asking(text), "seven")
    assert await shared.analyze(asking(hidden), "eight") == plain


async def test_a_call_with_nothing_to_look_at_has_an_observation(
    shared: EmbeddingAnalyzer,
) -> None:
    observation = await shared.analyze(Call(Dialect.OPENAI, "chat"), "nine")
    assert observation == Observation()


@pytest.mark.parametrize("text", [" ", "\u200b"])
async def test_a_blank_text_has_no_cell(shared: EmbeddingAnalyzer, text: str) -> None:
    observation = await shared.analyze(asking(text), "ten")
    assert all(chunk.cell == -1 and chunk.point == b"" for chunk in observation.said)
    assert observation.capabilities == 0


async def test_every_prompt_of_an_array_has_its_chunks(shared: EmbeddingAnalyzer) -> None:
    texts = ("the taste of lemons", "a proof by induction", "football results", "lemons taste")
    together = await shared.analyze(asking(*texts), "eleven")
    alone = [(await shared.analyze(asking(text), "twelve")).said[0] for text in texts]
    assert [*together.said] == alone


@given(
    said=st.lists(st.text(st.characters(), max_size=1_500), max_size=5),
    template=st.text(st.characters(), max_size=50),
)
def test_any_call_has_an_observation(
    shared: EmbeddingAnalyzer, said: list[str], template: str
) -> None:
    observation = asyncio.run(shared.analyze(asking(*said, template=template), "thirteen"))
    chunks = observation.said + observation.fed
    assert len(chunks) <= MAX_CHUNKS
    assert all(-1 <= chunk.cell < FINE for chunk in chunks)
    assert all(0 <= chunk.digest < 1 << 32 for chunk in chunks)
    assert (observation.template == 0) == (template == "")
    assert shared.missed == 0


async def test_another_key_gives_other_numbers(codebook: Codebook) -> None:
    texts = [f"{verb} {thing}" for verb in ("cook", "paint", "sell") for thing in ("rice", "cars")]
    found: list[list[Chunk]] = []
    for key in (b"one key", b"another key"):
        analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, (), key)
        found.append([(await analyzer.analyze(asking(text), "one")).said[0] for text in texts])
    for one, other in zip(*found, strict=True):
        assert one.digest != other.digest
        assert one.point != other.point
        assert one.leaning == other.leaning
    assert [one.cell for one in found[0]] != [one.cell for one in found[1]]


def test_another_process_makes_the_same_observation(shared: EmbeddingAnalyzer) -> None:
    program = (
        "import asyncio, sys\n"
        "from querybudget.adapters.base import Call, Channel, Dialect, Segment\n"
        "from querybudget.embedding.analyzer import open_analyzer\n"
        "from querybudget.policy.model import Policy\n"
        f"analyzer = open_analyzer(Policy(()), {KEY!r})\n"
        "said = (Segment(Channel.FED, 'Be brief.'), Segment(Channel.SAID, 'Is water wet?'))\n"
        "call = Call(Dialect.OPENAI, 'chat', segments=said, template='Be brief.')\n"
        "print(asyncio.run(analyzer.analyze(call, 'somebody')))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    call = asking("Is water wet?", template="Be brief.")
    assert run.stdout.strip() == str(asyncio.run(shared.analyze(call, "fourteen")))


# -- What a caller has sent before --------------------------------------------------------------


async def test_a_constant_preamble_is_not_looked_at_again(shared: EmbeddingAnalyzer) -> None:
    preamble = "You are a curious assistant who loves to help everybody out: "
    alone = (await shared.analyze(asking("Name three rivers in Austria."), "fifteen")).said
    await shared.analyze(asking(preamble + "Why do cats purr?"), "sixteen")
    framed = await shared.analyze(asking(preamble + "Name three rivers in Austria."), "sixteen")
    assert framed.said == alone


async def test_of_a_growing_conversation_only_the_new_turn_is_embedded(
    remote: Remote, codebook: Codebook
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    await analyzer.analyze(asking("warm up"), "one")
    await turns()
    remote.batches.clear()
    conversation: list[str] = []
    for n in range(20):
        conversation.append(prose(n, 6))
        await analyzer.analyze(asking(*conversation), "one")
    assert sum(remote.batches) <= 30
    assert len(remote.batches) == 20
    await analyzer.aclose()


async def test_a_task_in_pieces_goes_on_with_each(shared: EmbeddingAnalyzer) -> None:
    first, second = "Explain how the tides of the North Sea", " shape its sandbanks over the years."
    begun = await shared.analyze(asking(first), "in pieces")
    ended = await shared.analyze(asking(first, second), "in pieces")
    assert begun.items == ()
    assert len(ended.said) == 2
    assert ended.items[-1] == GOES_ON


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Explain the tides.", "and why are there two of them each day?"),
        ("Explain the tides of the North Sea", "Which sandbanks move the fastest?"),
    ],
)
async def test_another_sentence_goes_on_with_nothing(
    shared: EmbeddingAnalyzer, first: str, second: str
) -> None:
    await shared.analyze(asking(first), second)
    assert GOES_ON not in (await shared.analyze(asking(first, second), second)).items


async def test_a_task_in_pieces_within_one_call_is_one_text(shared: EmbeddingAnalyzer) -> None:
    whole = "Sketch a bridge for a river that freezes each winter, and say what it costs."
    pieces = (whole[:20], whole[20:45], whole[45:])
    turns = [Segment(Channel.SAID, pieces[0])]
    for piece in pieces[1:]:
        turns += [Segment(Channel.FED, "Go on."), Segment(Channel.SAID, piece)]
    call = Call(Dialect.OPENAI, "chat", segments=tuple(turns))
    seen = await shared.analyze(call, "one call")
    assert [chunk.cell for chunk in seen.said] == [
        chunk.cell for chunk in (await shared.analyze(asking(whole), "whole")).said
    ]


async def test_of_a_long_call_as_many_chunks_are_looked_at_as_fit(
    remote: Remote, codebook: Codebook
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    said = await analyzer.analyze(asking(prose(1, 1_000)), "one")
    assert len(said.said) == MAX_CHUNKS
    assert max(remote.batches) == MAX_CHUNKS
    both = await analyzer.analyze(asking(prose(2, 1_000), fed=(prose(3, 1_000),)), "one")
    assert len(both.said) + len(both.fed) == MAX_CHUNKS
    assert len(both.said) >= SAID_FIRST
    await analyzer.aclose()


async def test_what_is_new_is_looked_at_before_what_was_sent(codebook: Codebook) -> None:
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, (), KEY)
    long, new = prose(1, 1_000), "Name three rivers in Austria."
    alone = (await analyzer.analyze(asking(new), "other")).said[0]
    await analyzer.analyze(asking(long), "one")
    observation = await analyzer.analyze(asking(long, new), "one")
    assert observation.said[-1] == alone
    assert len(observation.said) == MAX_CHUNKS


async def test_the_key_says_which_chunks_of_a_long_call_are_looked_at(codebook: Codebook) -> None:
    text = "\n\n".join(prose(n, 3) for n in range(200))
    words: list[list[bytes]] = []
    for key in (b"one key", b"one key", b"another key"):
        analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, (), key)
        words.append([chunk.words for chunk in (await analyzer.analyze(asking(text), "a")).said])
    assert words[0] == words[1] != words[2]


async def looked_at(codebook: Codebook, task: str, *filling: str) -> bool:
    """Return whether a task is looked at among much else."""
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, SHIPPED, KEY)
    alone = await analyzer.analyze(asking(task), "another")
    observed = await analyzer.analyze(asking(*filling[:999], task, *filling[999:]), "caller")
    return alone.said[0].digest in {chunk.digest for chunk in observed.said}


async def test_many_short_texts_do_not_hide_a_longer_one(codebook: Codebook) -> None:
    filling = [f"ok, {number} of {word} is done" for number in range(400) for word in WORDS]
    task = (
        "Explain to pupils how {} changed in the last century, which inventions and laws mattered,"
        " who gained or lost by them, and what historians still argue about. Give three sources."
    )
    subjects = ["farming", "medicine", "banking", "warfare", "opera", "sailing"]
    found = [await looked_at(codebook, task.format(subject), *filling) for subject in subjects]
    assert sum(found) >= 4


async def test_much_that_says_the_same_does_not_hide_something_else(codebook: Codebook) -> None:
    filling = "\n".join(prose(seed, 6) for seed in range(300))
    task = "Why does bread rise, and which grains and yeasts did bakers of ancient Egypt use?"
    assert await looked_at(codebook, task, filling)


def test_a_long_call_lets_others_have_a_turn(codebook: Codebook) -> None:
    # One of its own: without an event loop there is no thread that could embed many chunks.
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, (), KEY)

    def turns_of(call: Call) -> int:
        steps, found = analyzer.analyze(call, "in turns"), 0
        while True:
            try:
                steps.send(None)
            except StopIteration:
                return found
            found += 1

    assert not turns_of(asking("A short question."))
    assert turns_of(asking(*(prose(n, 40) for n in range(900, 908)))) > 8


async def test_many_new_chunks_are_looked_at_beside_the_event_loop(codebook: Codebook) -> None:
    here, elsewhere = threading.get_ident(), set[bool]()

    class Noted(Remote):
        async def embed(self, texts: Sequence[str], /) -> NDArray[np.float32]:
            elsewhere.add(threading.get_ident() != here)
            return StaticEmbedder.load().vectors(texts)

    noted = Noted(codebook)
    noted.suspends = False
    analyzer = EmbeddingAnalyzer(noted, codebook, (), KEY)
    elsewhere.clear()  # examples of capabilities are embedded when it is made
    few = await analyzer.analyze(asking(*[prose(n, 1) for n in range(4)]), "few")
    assert (len(few.said), elsewhere) == (4, {False})
    elsewhere.clear()
    many = await analyzer.analyze(asking(*[prose(100 + n, 1) for n in range(64)]), "many")
    assert (len(many.said), elsewhere) == (64, {True})


async def test_much_that_is_fed_does_not_hide_what_is_said(shared: EmbeddingAnalyzer) -> None:
    fed = tuple(prose(n, 4) for n in range(2_000, 2_700))
    found = await shared.analyze(asking("Which kettles whistle?", fed=fed), "hider")
    assert len(found.said) == 1
    fed = tuple(prose(n, 700) for n in range(3_000, 3_020))
    found = await shared.analyze(asking("Which trains whistle?", fed=fed), "hider")
    assert len(found.said) == 1
    assert len(found.fed) == MAX_CHUNKS - 1


async def test_no_call_has_more_than_a_bounded_number_of_opaque_parts(
    shared: EmbeddingAnalyzer,
) -> None:
    opaque = tuple(Opaque("tokens", f"{n}") for n in range(5_000))
    call = Call(Dialect.OPENAI, "chat", opaque=opaque)
    assert len((await shared.analyze(call, "many")).opaque) == MAX_OPAQUE


async def test_of_a_long_constant_frame_only_what_it_holds_is_new(codebook: Codebook) -> None:
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, SHIPPED, KEY)
    before, after = (" ".join(prose(seed, 60).split("\n")) for seed in (1, 2))
    frame = f"{before} {{}} {after}"
    await analyzer.analyze(asking(frame.format("Which metals rust?")), "caller")
    await analyzer.analyze(asking(frame.format("Who painted the ceiling?")), "caller")
    task = "Explain how winter storms form over the northern ocean and why sailors fear them."
    alone = await analyzer.analyze(asking(task), "another")
    framed = await analyzer.analyze(asking(frame.format(task)), "caller")
    assert alone.said[0].cell in {chunk.cell for chunk in framed.said}


async def test_letters_that_are_sent_as_a_turn_each_are_read_together(codebook: Codebook) -> None:
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, SHIPPED, KEY)
    task = "Explain how winter storms form over the northern ocean and why sailors fear them."
    alone = await analyzer.analyze(asking(task), "another")
    spelt = await analyzer.analyze(asking(*task), "caller")
    assert spelt.said == alone.said


async def test_a_repeated_call_shows_the_same_chunks(remote: Remote, codebook: Codebook) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    await analyzer.analyze(asking("warm up"), "one")
    await turns()
    remote.batches.clear()
    found = [await analyzer.analyze(asking("Is water wet?"), "one") for _ in range(3)]
    assert remote.batches == [1]
    assert found[0] == found[1] == found[2]
    assert len(found[0].said) == 1
    await analyzer.aclose()


async def test_the_cache_of_chunks_is_bounded(codebook: Codebook) -> None:
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, (), KEY, cached=10)
    for n in range(100):
        observation = await analyzer.analyze(asking(f"question {n}"), "one")
        assert len(observation.said) == 1
    assert len(analyzer._cache) == 10


async def test_a_prompt_given_twice_in_one_call_is_one_chunk(
    remote: Remote, codebook: Codebook
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    observation = await analyzer.analyze(asking("twice", "twice", "once"), "one")
    assert remote.batches == [2]
    assert len(observation.said) == 2
    await analyzer.aclose()


@pytest.mark.slow
async def test_no_text_is_kept(codebook: Codebook) -> None:
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, SHIPPED, KEY)
    call = asking(SECRET, template="Guard the " + SECRET)
    observation = await analyzer.analyze(call, "one")
    assert SECRET.encode() not in repr(observation).encode()
    for seen in analyzer._cache.values():
        assert seen is not None
        assert SECRET not in repr(seen)
        assert SECRET.encode() not in seen.words + seen.point
    del call
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
    observation = await analyzer.analyze(asking("Is water wet?", template="Be brief."), "one")
    for chunk in observation.said + observation.fed:
        assert chunk.cell == chunk.coarse == -1
        assert chunk.point == b""
        assert chunk.leaning == ()
        assert chunk.words != b""
        assert chunk.digest != 0
    assert len(observation.said) == len(observation.fed) == 1
    assert observation.capabilities == 0
    assert observation.template != 0
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
    assert (await analyzer.analyze(asking("Is water wet?"), "one")).said[0].cell == -1
    assert analyzer.missed == 1
    await analyzer.aclose()


PARAPHRASED = (
    "Reply as a patient teacher of chemistry, and explain every reaction to the pupil.",
    "You teach chemistry. Take your time, and say to the student what each reaction does.",
    "As a chemistry tutor, patiently go through all reactions with your pupils.",
)
OTHERS = (
    "You are the booking desk of a hotel. Ask for dates and the number of guests.",
    "Translate what the user writes into French, and nothing else.",
    "Review the code of a pull request, and list mistakes with their lines.",
)


async def test_templates_that_say_the_same_in_other_words_are_mostly_about_the_same(
    codebook: Codebook,
) -> None:
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, SHIPPED, KEY, subjects=True)
    same = [await analyzer.analyze(asking("hi", template=one), "a") for one in PARAPHRASED]
    other = [await analyzer.analyze(asking("hi", template=one), "a") for one in OTHERS]
    assert len({one.subject for one in same}) < len(PARAPHRASED)
    assert len({one.template for one in same}) == len(PARAPHRASED)
    assert len({one.subject for one in other} | {same[0].subject}) == 1 + len(OTHERS)
    assert (await analyzer.analyze(asking("hi"), "a")).subject == -1


async def test_what_templates_are_about_is_found_only_where_a_budget_asks() -> None:
    written = {"secret": "0123456789abcdef", "identity": ["api_key"]}
    pool = {"name": "campaign", "limit": "1 bucket/30 days", "per": "template"}
    found = list[bool]()
    for budget in ({**pool, "score": "only"}, pool, {**pool, "per": "identity"}):
        analyzer = open_analyzer(Policy.load({**written, "budgets": [budget]}), KEY)
        observation = await analyzer.analyze(asking("hi", template=PARAPHRASED[0]), "a")
        found.append(observation.subject >= 0)
    assert found == [True, False, False]


async def test_a_template_that_could_not_be_embedded_is_embedded_the_next_time(
    remote: Remote, codebook: Codebook
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY, subjects=True)
    call = Call(Dialect.OPENAI, "chat", template=PARAPHRASED[0])
    remote.raises = ConnectionError()
    assert (await analyzer.analyze(call, "a")).subject == -1
    remote.raises = None
    assert (await analyzer.analyze(call, "a")).subject >= 0
    assert (await analyzer.analyze(call, "b")).subject >= 0
    assert remote.batches == [1, 1]  # the second caller's is known


async def test_a_missed_prompt_is_embedded_the_next_time(
    remote: Remote, codebook: Codebook
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    remote.raises = EmbeddingError("late")
    assert (await analyzer.analyze(asking("Is water wet?"), "one")).said[0].cell == -1
    remote.raises = None
    assert (await analyzer.analyze(asking("Is water wet?"), "one")).said[0].cell >= 0
    await analyzer.aclose()


async def test_an_outage_and_its_end_are_logged_once_each(
    remote: Remote, codebook: Codebook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "querybudget")
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    for error in (ValueError(SECRET), EmbeddingError("late"), ValueError(SECRET)):
        remote.raises = error
        await analyzer.analyze(asking("down"), "one")
    remote.raises = None
    for n in range(40):
        await analyzer.analyze(asking(f"up {n}"), "one")
    assert [record.getMessage() for record in caplog.records] == [
        "prompts cannot be embedded, so calls are not counted in buckets: ValueError",
        "prompts are embedded again; 3 calls were not counted in buckets",
    ]
    await analyzer.aclose()


async def test_a_cancelled_call_is_cancelled(remote: Remote, codebook: Codebook) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, (), KEY)
    remote.gate.clear()
    call = asyncio.create_task(analyzer.analyze(asking("Is water wet?"), "one"))
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
    observation = await shared.analyze(asking(ask), "one")
    assert observation.capabilities & 1 << CAPABILITIES.index(capability)


async def test_a_capability_with_its_own_examples_has_no_heuristic(codebook: Codebook) -> None:
    own = Capability("role_play", examples=("Grill the fish.", "Boil two eggs.", "Bake bread."))
    analyzer = EmbeddingAnalyzer(StaticEmbedder.load(), codebook, [own], KEY)
    observation = await analyzer.analyze(
        asking("Pretend to be an import clerk at the harbour office."), "one"
    )
    assert observation.capabilities == 0


# -- Examples embedded remotely -------------------------------------------------------------------


async def test_examples_are_embedded_in_the_background_of_the_first_calls(
    remote: Remote, codebook: Codebook, shared: EmbeddingAnalyzer
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, SHIPPED, KEY)
    ask = asking("Write a Python function that sorts a list.")
    assert (await analyzer.analyze(ask, "one")).capabilities == 0
    await turns()
    assert max(remote.batches) <= 32
    assert await analyzer.analyze(ask, "one") == await shared.analyze(ask, "one")
    assert analyzer.names == CAPABILITIES
    await analyzer.aclose()


async def test_examples_that_fail_are_retried_with_a_later_call(
    remote: Remote, codebook: Codebook
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, SHIPPED, KEY)
    ask = asking("Write a Python function that sorts a list.")
    await analyzer.analyze(ask, "one")
    remote.raises = EmbeddingError("late")
    await turns()
    assert analyzer.missed == 1
    remote.raises = None
    await analyzer.analyze(ask, "one")
    await turns()
    assert (await analyzer.analyze(ask, "one")).capabilities != 0
    await analyzer.aclose()


async def test_closing_cancels_the_embedding_of_examples(
    remote: Remote, codebook: Codebook
) -> None:
    analyzer = EmbeddingAnalyzer(remote, codebook, SHIPPED, KEY)
    await analyzer.analyze(asking("hello"), "one")
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
