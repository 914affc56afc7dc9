"""Honest ways of working that differ from one short turn a call.

Each takes a real caller's prompts and gives them the bodies of such a client: conversations sent
again with every turn, agents that read long results of tools, questions about documents, pictures.
Documents are honest texts of one other source, as those of a document base. Answers are texts of
the caller's own source, because a model's answers are about what it was asked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.sweep.bodies import (
    MESSAGES,
    RESPONSES,
    Message,
    Request,
    assistant,
    chat,
    encoded,
    message,
    responses,
    said,
    system,
    turn,
)
from benchmarks.sweep.context import Context, Cover, Settings
from benchmarks.sweep.corpora import Entry, Identity, identities, read, template
from benchmarks.sweep.figures import NEVER, interval, share
from benchmarks.sweep.honest import sampled
from benchmarks.sweep.replay import obtain
from benchmarks.sweep.scoring import scored_with
from benchmarks.sweep.tricks.packing import picture
from benchmarks.sweep.tricks.wording import unknown_script

__all__ = ["WAYS_OF_WORKING", "Desk", "desk_of", "way_shares", "ways_of_working"]

LONG = 600
"""Characters of the middle prompt of a caller whose prompts serve as documents."""

SNIPPET = 300
"""Characters of a result of a search, and of an example, at most."""

EMBEDDINGS = "/v1/embeddings"
PER_DAY = 300
STEPS = (2, 8)
"""Fewest and most tools that an agent calls for a task."""

CONTEXT = 30_000
"""Bytes after which a conversation begins anew."""


@dataclass(frozen=True)
class Desk:
    """What a caller has at hand.

    Attributes:
        prompts: Its prompts, in order.
        sessions: For each, the number of its conversation.
        template: Its system prompt.
        documents: Long honest texts of other sources.
        answers: Texts of its own source, as answers of a model, which are about what is asked.
        draw: Seeded by its name.
    """

    prompts: Sequence[str]
    sessions: Sequence[int]
    template: str
    documents: Sequence[str]
    answers: Sequence[str]
    draw: random.Random

    def document(self) -> str:
        return self.draw.choice(self.documents)

    def answer(self) -> str:
        return " ".join(self.draw.choices(self.answers, k=3))[: self.draw.randrange(200, 1_200)]


def _chat_resent(desk: Desk) -> Iterator[Request]:
    """Conversations with the model's answers, sent again with every turn."""
    turns, before, size = list[Message](), -1, 0
    for text, session in zip(desk.prompts, desk.sessions, strict=True):
        if session != before or size > CONTEXT:
            turns, before, size = [*system(desk.template)], session, 0
        turns.append(said(text))
        yield Request(chat(turns))
        answer = desk.answer()
        turns.append(assistant(answer))
        size += len(text.encode()) + len(answer.encode())


def _agent(desk: Desk) -> Iterator[Request]:
    """A task, then tools with long results; everything is sent again with every step."""
    tools = [_tool(name) for name in ("read_file", "search", "run")]
    for text in desk.prompts:
        turns = [*system(desk.template), said(text)]
        yield Request(chat(turns, tools=tools))
        for step in range(desk.draw.randrange(*STEPS)):
            name = f"call_{step}"
            function = {"name": "read_file", "arguments": f'{{"path": "part {step}"}}'}
            calls = [{"id": name, "type": "function", "function": function}]
            turns += [
                assistant(None, tool_calls=calls),
                turn("tool", desk.document(), tool_call_id=name),
            ]
            yield Request(chat(turns, tools=tools))


def _tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"path": {"type": "string"}}}
    described = {"name": name, "description": f"Use this to {name}.", "parameters": schema}
    return {"type": "function", "function": described}


def _documents_in_system(desk: Desk) -> Iterator[Request]:
    """Retrieved documents in the system prompt, a question in the user's turn."""
    for text in desk.prompts:
        found = "\n\n".join(desk.document() for _ in range(3))
        yield Request(chat([*system(f"{desk.template}\n\nSources:\n{found}"), said(text)]))


def _documents_in_turn(desk: Desk) -> Iterator[Request]:
    """A document before the question, in the user's own turn."""
    for text in desk.prompts:
        yield Request(chat([*system(desk.template), said(f"{desk.document()}\n\n{text}")]))


def _document_parts(desk: Desk) -> Iterator[Request]:
    for text in desk.prompts:
        source = {"type": "text", "media_type": "text/plain", "data": desk.document()}
        parts = [{"type": "document", "source": source}, {"type": "text", "text": text}]
        yield Request(message([said(parts)], system=desk.template), path=MESSAGES)


def _retrieved(desk: Desk) -> Iterator[Request]:
    """Four documents for each question, as a tool's result."""
    for text in desk.prompts:
        documents = "\n\n".join(desk.document() for _ in range(4))
        found = turn("tool", documents, tool_call_id="call_0")
        asked = [*system(desk.template), said(text), _call("search"), found]
        yield Request(chat(asked, tools=[_tool("search")]))


def _search_results(desk: Desk) -> Iterator[Request]:
    """Ten short results of a search for each question, as a numbered list."""
    for text in desk.prompts:
        found = _numbered([desk.document()[:SNIPPET] for _ in range(10)])
        result = turn("tool", found, tool_call_id="call_0")
        asked = [*system(desk.template), said(text), _call("search"), result]
        yield Request(chat(asked, tools=[_tool("search")]))


def _examples_in_system(desk: Desk) -> Iterator[Request]:
    """Ten examples of the same kind of prompt in the system prompt, others for each call."""
    for text in desk.prompts:
        shots = _numbered([one[:SNIPPET] for one in desk.draw.choices(desk.answers, k=10)])
        yield Request(chat([*system(f"{desk.template}\n\nExamples:\n{shots}"), said(text)]))


def _numbered(texts: Sequence[str]) -> str:
    return "\n\n".join(f"{number + 1}. {text}" for number, text in enumerate(texts))


def _call(name: str) -> Message:
    function = {"name": name, "arguments": "{}"}
    return assistant(None, tool_calls=[{"id": "call_0", "type": "function", "function": function}])


def _one_document(desk: Desk) -> Iterator[Request]:
    """Ten questions about each document."""
    document = ""
    for number, text in enumerate(desk.prompts):
        if number % 10 == 0:
            document = desk.document()
        yield Request(chat([*system(f"{desk.template}\n\n{document}"), said(text)]))


def _pictures(desk: Desk) -> Iterator[Request]:
    """A new picture with every prompt, in conversations of four that are sent again."""
    turns = list[Message]()
    for number, text in enumerate(desk.prompts):
        if number % 4 == 0:
            turns = [*system(desk.template)]
        part = {"type": "image_url", "image_url": {"url": picture(f"{text} {number}")}}
        turns.append(said([{"type": "text", "text": text}, part]))
        yield Request(chat(turns))
        turns.append(assistant(desk.answer()))


def _pictures_alone(desk: Desk) -> Iterator[Request]:
    """The same short order for a new picture each time."""
    for number, text in enumerate(desk.prompts):
        part = {"type": "image_url", "image_url": {"url": picture(f"{text} {number}")}}
        ask = {"type": "text", "text": "What does it say?"}
        yield Request(chat([*system(desk.template), said([ask, part])]))


def _stored_conversations(desk: Desk) -> Iterator[Request]:
    """Conversations kept by the server: each call names the response before it."""
    for number, text in enumerate(desk.prompts):
        begins = number == 0 or desk.sessions[number] != desk.sessions[number - 1]
        earlier = {} if begins else {"previous_response_id": f"resp_{number - 1:024}"}
        yield Request(responses(text, instructions=desk.template, **earlier), path=RESPONSES)


def _unknown_language(desk: Desk) -> Iterator[Request]:
    for text in desk.prompts:
        yield Request(chat([*system(desk.template), said(unknown_script(text))]))


def _polite(desk: Desk) -> Iterator[Request]:
    """Whole sentences that give orders: the manner of many sweeps."""
    for text in desk.prompts:
        order = f"Please help me with the following task and explain your answer in detail.\n{text}"
        yield Request(chat([*system(desk.template), said(order)]))


def _batches(desk: Desk) -> Iterator[Request]:
    """Ten items in one prompt."""
    for begin in range(0, len(desk.prompts), 10):
        items = "\n".join(f"{n}. {one}" for n, one in enumerate(desk.prompts[begin : begin + 10]))
        yield Request(chat([*system(desk.template), said(items)]))


def _session_keys(desk: Desk) -> Iterator[Request]:
    """A system prompt with a key of the session in it, for ten calls."""
    key = ""
    for number, text in enumerate(desk.prompts):
        if number % 10 == 0:
            key = f"{desk.draw.getrandbits(512):0128x}"
        yield Request(chat([*system(f"{desk.template}\nSession: {key}"), said(text)]))


def _indexing(desk: Desk) -> Iterator[Request]:
    """Documents to be embedded, as token ids, beside the questions."""
    for text in desk.prompts:
        ids = [desk.draw.randrange(30_000) for _ in desk.document().split()]
        yield Request(encoded({"model": "bench-embedding", "input": [ids]}), path=EMBEDDINGS)
        yield Request(chat([*system(desk.template), said(text)]))


WAYS_OF_WORKING: Mapping[str, Callable[[Desk], Iterator[Request]]] = {
    "chat_resent": _chat_resent,
    "agent": _agent,
    "documents_in_system": _documents_in_system,
    "documents_in_turn": _documents_in_turn,
    "document_parts": _document_parts,
    "retrieved": _retrieved,
    "search_results": _search_results,
    "examples_in_system": _examples_in_system,
    "one_document": _one_document,
    "pictures": _pictures,
    "pictures_alone": _pictures_alone,
    "stored_conversations": _stored_conversations,
    "unknown_language": _unknown_language,
    "orders": _polite,
    "batches": _batches,
    "session_keys": _session_keys,
    "indexing": _indexing,
}


def ways_of_working(settings: Settings, entry: Entry) -> tuple[Entry, dict[str, list[float]]]:
    """Return, by way of working, at which call callers of a corpus were first disturbed."""
    with scored_with(settings.fit_of(entry)):
        return entry, asyncio.run(_ways(Context(settings), entry))


async def _ways(context: Context, entry: Entry) -> dict[str, list[float]]:
    callers, calls = context.settings.size.working
    some = sampled(identities(read(entry)), callers)
    found: dict[str, list[float]] = {}
    for name, way in WAYS_OF_WORKING.items():
        found[name] = []
        for one in some:
            desk = desk_of(context.settings.cover, entry, one, name, calls)
            met = await obtain(context.policy, context.analyzer, way(desk), per_day=PER_DAY)
            found[name].append(met.first)
    return found


def desk_of(cover: Sequence[Cover], entry: Entry, one: Identity, way: str, calls: int) -> Desk:
    others = [held for held in cover if not held.sources & entry.sources] or list(cover)
    long = [held for held in others if held.median >= LONG] or others
    draw = random.Random(f"{way} {one.name}")
    return Desk(
        [prompt.text for prompt in one.prompts[:calls]],
        one.sessions[:calls],
        template(entry.name),
        draw.choice(long).texts,
        _answers(entry, one),
        draw,
    )


def _answers(entry: Entry, one: Identity) -> list[str]:
    """Return texts about what a caller asks, of other callers of its corpus if there are any."""
    every = identities(read(entry))
    others = [each for each in every if each.name != one.name] or every
    return [prompt.text for each in others[:5] for prompt in each.prompts[:200]]


def way_shares(parts: Sequence[tuple[Entry, dict[str, list[float]]]]) -> dict[str, Any]:
    """Return the share of callers disturbed by way of working, and the corpora they are from."""
    found: dict[str, Any] = {}
    for name in WAYS_OF_WORKING:
        firsts = [(entry.name, first) for entry, ways in parts for first in ways[name]]
        hit = sorted({corpus for corpus, first in firsts if first != NEVER})
        hits = sum(first != NEVER for _, first in firsts)
        found[name] = {
            "callers": len(firsts),
            "disturbed": share(hits, len(firsts)),
            "disturbed_95": interval(hits, len(firsts)),
            "where": hit,
        }
    return found
