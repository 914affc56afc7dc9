"""Ten kinds of callers at once, over real HTTP, and the model's answers to each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import msgspec

from querybudget.adapters.base import Usage
from querybudget.demo.prompts import TOOLS, agent, conversation, documents, hidden
from querybudget.demo.screen import Board
from querybudget.testing import ModelRequest, Reply
from querybudget.testing.sweeping import sweep

HANGS_UP_AFTER = 12
"""Pieces of text, of 60, after which a caller hangs up."""
AT_ONCE = 24
SWEPT = 150
"""Prompts of the sweep; each is sent twice."""
HEADS, EACH = 24, 12
"""Accounts of the hydra, and prompts of each: all different, and few enough to be innocent."""
PEOPLE, TALKS = 8, 10
"""Honest newcomers, and what each says: a few things, as the chat user does."""
WORDS = "A budget is a promise about what may be used, by whom, and how soon. "


class Caller(msgspec.Struct, frozen=True):
    """One of the callers, or several that are alike.

    Attributes:
        asks: What it does, in a few words.
        key: Its API key, or the beginning of each of theirs.
        accounts: How many they are.
        new: Whether they are new. The store has known all others for months.
    """

    name: str
    asks: str
    key: str
    accounts: int = 1
    new: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The API key of each account."""
        if self.accounts == 1:
            return (self.key,)
        return tuple(f"{self.key}-{number}" for number in range(self.accounts))


CALLERS = (
    Caller("chat user", "talks about a few things", "sk-chat"),
    Caller("agent", "tools, and the conversation again", "sk-agent"),
    Caller("documents", "questions about a handbook", "sk-documents"),
    Caller("sweeper", "everything, twice, in tool results", "sk-sweeper"),
    Caller("hydra", f"everything, by {HEADS} new accounts", "sk-hydra", HEADS, new=True),
    Caller("newcomers", f"{PEOPLE} people, as new as those", "sk-new", PEOPLE, new=True),
    Caller("burst", f"{AT_ONCE} calls at once", "sk-burst"),
    Caller("hangs up", "asks for 2,000 tokens, leaves early", "sk-hangs-up"),
    Caller("long answers", "in Anthropic's words", "sk-long"),
    Caller("embeddings", "batches of texts", "sk-embeddings"),
)


class Pause(msgspec.Struct, frozen=True):
    """A wait before an answer, which ends early if `over` is set."""

    seconds: float
    over: asyncio.Event

    async def wait(self) -> None:
        """Wait until the time has passed or `over` is set."""
        try:
            await asyncio.wait_for(self.over.wait(), self.seconds)
        except TimeoutError:
            return


def answer_of(beat: float, burst_is_answered: asyncio.Event) -> Callable[[ModelRequest], Reply]:
    """Return a function that answers each caller as the model.

    Args:
        beat: A twelfth of the demo, in seconds.
        burst_is_answered: Ends the wait of the burst's answers early.
    """
    never = asyncio.Event()

    def reply(request: ModelRequest) -> Reply:
        # The usage is that of a tokenizer with four bytes per token.
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        match "-".join(key.split("-")[:2]) if key.startswith(("sk-hydra", "sk-new")) else key:
            case "sk-agent" | "sk-documents" | "sk-sweeper" | "sk-hydra" | "sk-new":
                usage = Usage(input=30, output=30)
                return Reply(WORDS * 2, usage, gate=Pause(0.01 * beat, never))
            case "sk-long":
                usage = Usage(input=300, output=8_000)
                return Reply(WORDS * 470, usage, gate=Pause(0.2 * beat, never))
            case "sk-burst":
                return Reply(
                    "Yes.", Usage(input=50, output=2), gate=Pause(5 + beat, burst_is_answered)
                )
            case "sk-hangs-up":
                gate = Pause(60, never)
                return Reply(WORDS * 12, chunks=60, gate=gate, stall_after=HANGS_UP_AFTER)
            case "sk-embeddings":
                return Reply(usage=Usage(input=113), gate=Pause(0.2 * beat, never))
            case _:
                gate = Pause(0.1 * beat, never)
                return Reply(WORDS * 5, Usage(input=50, output=87), 20, gate=gate, stall_after=3)

    return reply


class Traffic:
    """Sends what each caller sends.

    Args:
        client: A client of the server.
        board: Shows what happens.
        beat: A twelfth of the demo, in seconds.
        burst_is_answered: Set once every refusal of the burst has arrived.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        board: Board,
        beat: float,
        burst_is_answered: asyncio.Event,
    ) -> None:
        self._client = client
        self._board = board
        self._beat = beat
        self._burst_is_answered = burst_is_answered
        self._burst_left = AT_ONCE

    async def run(self) -> None:
        """Run all callers until the last is done."""
        sends = (
            self._chat,
            self._agent,
            self._documents,
            self._sweep,
            self._hydra,
            self._newcomers,
            self._burst,
            self._hang_up,
            self._long_answers,
            self._embeddings,
        )
        async with asyncio.TaskGroup() as callers:
            for caller, calls in zip(CALLERS, sends, strict=True):
                callers.create_task(calls(caller))

    async def _chat(self, caller: Caller) -> None:
        messages = list[dict[str, Any]]()
        for said in conversation():
            messages.append({"role": "user", "content": said})
            body = {**_body("small", 200, messages), "stream_options": {"include_usage": True}}
            await self._stream(caller, "/v1/chat/completions", body)
            messages.append({"role": "assistant", "content": WORDS * 5})
            await self._rest(0.15)

    async def _agent(self, caller: Caller) -> None:
        for messages in agent():
            body = {**_body("small", 60, messages), "tools": TOOLS}
            await self._whole(caller, "/v1/chat/completions", body)
            await self._rest(0.3)

    async def _documents(self, caller: Caller) -> None:
        for messages in documents():
            await self._whole(caller, "/v1/chat/completions", _body("small", 60, messages))
            await self._rest(0.25)

    async def _sweep(self, caller: Caller) -> None:
        for prompt in sweep(SWEPT):
            body = {**_body("small", 60, hidden(prompt)), "logprobs": True}
            for _ in range(2):
                await self._whole(caller, "/v1/chat/completions", body)
                await self._rest(0.02)

    async def _hydra(self, caller: Caller) -> None:
        prompts = sweep(HEADS * EACH)
        async with asyncio.TaskGroup() as heads:
            for number, key in enumerate(caller.keys):
                heads.create_task(self._say_all(caller, key, prompts[number::HEADS]))

    async def _newcomers(self, caller: Caller) -> None:
        said = list(conversation())
        async with asyncio.TaskGroup() as people:
            for number, key in enumerate(caller.keys):
                begin = 5 * number
                texts = [said[(begin + turn) % len(said)] for turn in range(TALKS)]
                people.create_task(self._say_all(caller, key, texts))

    async def _say_all(self, caller: Caller, key: str, texts: Sequence[str]) -> None:
        for text in texts:
            body = _body("small", 60, [{"role": "user", "content": text}])
            await self._whole(caller, "/v1/chat/completions", body, key)
            await self._rest(0.7)

    async def _burst(self, caller: Caller) -> None:
        await self._rest(4)
        body = _chat("small", 20)
        async with asyncio.TaskGroup() as calls:
            for _ in range(AT_ONCE):
                calls.create_task(self._one_of_burst(caller, body))

    async def _one_of_burst(self, caller: Caller, body: dict[str, Any]) -> None:
        await self._whole(caller, "/v1/chat/completions", body)
        self._burst_left -= 1
        if self._burst_left <= 8:  # noqa: PLR2004 - as many as the budget lets through
            self._burst_is_answered.set()

    async def _hang_up(self, caller: Caller) -> None:
        for rest in (2, 4):
            await self._rest(rest)
            path, body = "/v1/chat/completions", _chat("small", 2_000)
            await self._stream(caller, path, body, pieces=HANGS_UP_AFTER)

    async def _long_answers(self, caller: Caller) -> None:
        await self._rest(0.5)
        for _ in range(15):
            await self._whole(caller, "/v1/messages", _chat("large", 8_000, text=1_200))
            await self._rest(0.5)

    async def _embeddings(self, caller: Caller) -> None:
        for texts in (3_000, 800, 800, 800):
            await self._rest(1.5)
            body = {"model": "embed-small", "input": ["some text to embed"] * texts}
            await self._whole(caller, "/v1/embeddings", body)

    async def _rest(self, beats: float) -> None:
        await asyncio.sleep(beats * self._beat)

    async def _whole(self, caller: Caller, path: str, body: dict[str, Any], key: str = "") -> None:
        self._board.rows[caller.name].sent += 1
        headers = _credential(key or caller.key)
        answer = await self._client.post(path, json=body, headers=headers)
        self._note(caller, answer)

    async def _stream(
        self, caller: Caller, path: str, body: dict[str, Any], pieces: int = 0
    ) -> None:
        """Request a stream; if `pieces` is set, hang up after that many pieces of text."""
        self._board.rows[caller.name].sent += 1
        streamed = {**body, "stream": True}
        headers, seen = _credential(caller.key), 0
        async with self._client.stream("POST", path, json=streamed, headers=headers) as answer:
            if not answer.is_success:
                await answer.aread()
            else:
                async for line in answer.aiter_lines():
                    seen += _is_text(line)
                    if pieces and seen == pieces:
                        self._board.say(caller.name, f"hung up after {seen} pieces of text")
                        return
        self._note(caller, answer)

    def _note(self, caller: Caller, answer: httpx.Response) -> None:
        if answer.is_success:
            self._board.say(caller.name, "answered")
            return
        try:
            message = answer.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            message = answer.text
        self._board.say(caller.name, f"refused with {answer.status_code}: {message}")


def _chat(model: str, max_tokens: int, *, text: int = 200) -> dict[str, Any]:
    content = (WORDS * (text // len(WORDS) + 1))[:text]
    return _body(model, max_tokens, [{"role": "user", "content": content}])


def _body(model: str, max_tokens: int, messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"model": model, "max_tokens": max_tokens, "messages": messages}


def _credential(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _is_text(line: str) -> bool:
    if not line.startswith("data: {"):
        return False
    choices: list[dict[str, Any]] = json.loads(line[6:]).get("choices") or [{}]
    return bool(choices[0].get("delta", {}).get("content"))
