"""Real prompts through the official clients: `python -m benchmarks.traffic --corpora DIR`.

The `openai` and `anthropic` packages send prompts, half of them streamed, over HTTP to uvicorn,
which serves a fake model behind querybudget. Every user of a corpus has its own API key. The fake
model counts tokens by a rule that querybudget does not know (up to five letters of a word, each
other sign, each character of a script without spaces), so that estimates can be wrong. No prompt is
stored or printed.

Reported, and written with `--out`: the difference between the estimate of a prompt's tokens and the
model's report, at a caller's first call and at later ones; answers by status; and whether every key
was charged exactly the tokens that the model reported for it. The exit code is 1 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any
from zlib import crc32

import anthropic
import openai
import uvicorn

from benchmarks.traffic.corpora import Prompt, prompts
from querybudget.adapters.base import Usage
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.events import DecisionEvent
from querybudget.identity import KeyedHash
from querybudget.limiter import Limiter
from querybudget.policy.model import Policy
from querybudget.testing import FakeModel, ModelRequest, Reply
from querybudget.units import MICRO

SECRET = "a benchmark keeps no secrets"  # noqa: S105 - it opens nothing
POLICY = {
    "version": 1,
    "secret": SECRET,
    "identity": ["api_key"],
    "models": {"fake-*": {"input": 2.5, "output": 10}},
    "budgets": [
        {"name": "requests", "limit": "1_000_000 requests/day"},
        {"name": "tokens", "limit": "1_000_000_000 tokens/day"},
        {"name": "spend", "limit": "1_000_000 usd/month"},
        {"name": "parallel", "limit": "64 concurrent"},
    ],
}
MODEL = "fake-1"
IN_FLIGHT = 16

_PIECES = re.compile(r"[^\W\d_a-zA-ZÀ-ɏͰ-ӿ]|[^\W\d_]{1,5}|\d{1,3}|[^\w\s]|_")

Send = Callable[[Prompt, str], Awaitable[int]]


def tokens(text: str) -> int:
    """Return the tokens of a text, by the fake model's rule."""
    return max(1, sum(1 for _ in _PIECES.finditer(text)))


def reply(request: ModelRequest) -> Reply:
    """Return usage for a prompt, with an output length derived from its text."""
    prompt = request.json["messages"][-1]["content"]
    output = 1 + crc32(prompt.encode()) % 600
    text = "word " * min(output, 60)
    return Reply(text=text, usage=Usage(input=tokens(prompt), output=output), chunks=8)


class Clients:
    """The two SDKs, streaming or not, with one server."""

    def __init__(self, url: str) -> None:
        self._openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0)
        self._anthropic = anthropic.AsyncAnthropic(base_url=url, api_key="-", max_retries=0)
        self._ways: tuple[Send, ...] = (
            self._chat,
            self._chat_stream,
            self._message,
            self._message_stream,
        )

    async def send(self, number: int, prompt: Prompt) -> int:
        """Send a prompt in one of the four ways, and return the HTTP status of the answer."""
        key = f"sk-{crc32(prompt.user.encode()):08x}"
        try:
            return await self._ways[number % len(self._ways)](prompt, key)
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            return error.status_code

    async def _chat(self, prompt: Prompt, key: str) -> int:
        await self._openai.with_options(api_key=key).chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": prompt.text}],
        )
        return 200

    async def _chat_stream(self, prompt: Prompt, key: str) -> int:
        stream = await self._openai.with_options(api_key=key).chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": prompt.text}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async for _ in stream:
            pass
        return 200

    async def _message(self, prompt: Prompt, key: str) -> int:
        await self._anthropic.with_options(api_key=key).messages.create(
            model=MODEL,
            max_tokens=1024,
            messages=[{"role": "user", "content": prompt.text}],
        )
        return 200

    async def _message_stream(self, prompt: Prompt, key: str) -> int:
        async with self._anthropic.with_options(api_key=key).messages.stream(
            model=MODEL,
            max_tokens=1024,
            messages=[{"role": "user", "content": prompt.text}],
        ) as stream:
            await stream.get_final_message()
        return 200


async def run(everything: Sequence[Prompt]) -> dict[str, Any]:
    """Serve, send everything, and compare charged with reported tokens."""
    events: list[DecisionEvent] = []
    limiter = Limiter(Policy.load(POLICY), hooks=[events.append])
    app = QueryBudgetMiddleware(FakeModel(reply), limiter=limiter)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listening]))
    begun = time.monotonic()
    statuses = await _send_all(everything, listening.getsockname()[1])
    seconds = time.monotonic() - begun
    books = await _books(limiter, everything)
    server.should_exit = True
    await serving
    return {
        "prompts": len(everything),
        "corpora": len({prompt.corpus for prompt in everything}),
        "callers": len(books),
        "seconds": round(seconds, 1),
        "statuses": statuses,
        "settlements": dict(Counter(event.settlement for event in events)),
        "input_error": _errors(events),
        "books": {
            "tokens_reported": sum(reported for reported, _ in books.values()),
            "tokens_charged": sum(charged for _, charged in books.values()),
            "callers_off": sum(reported != charged for reported, charged in books.values()),
        },
    }


async def _send_all(everything: Sequence[Prompt], port: int) -> dict[int, int]:
    clients, numbered = Clients(f"http://127.0.0.1:{port}"), enumerate(everything)
    statuses = Counter[int]()

    async def worker() -> None:
        for number, prompt in numbered:
            statuses[await clients.send(number, prompt)] += 1
            if statuses.total() % 100 == 0:
                print(f"\r{statuses.total()}/{len(everything)}", end="", file=sys.stderr)

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    print(file=sys.stderr)
    return dict(statuses)


async def _books(limiter: Limiter, everything: Sequence[Prompt]) -> dict[str, tuple[int, int]]:
    """Return, by API key, tokens reported by the model and tokens charged."""
    reported: defaultdict[str, int] = defaultdict(int)
    for prompt in everything:
        output = 1 + crc32(prompt.text.encode()) % 600
        reported[f"sk-{crc32(prompt.user.encode()):08x}"] += tokens(prompt.text) + output
    key, quota = KeyedHash(SECRET.encode()), limiter.policy.budgets[1].quota
    books: dict[str, tuple[int, int]] = {}
    for name, used in reported.items():
        ((remaining, _),) = await limiter.store.peek(key("api_key", name), [quota])
        books[name] = (used, (quota.limit - remaining) // MICRO)
    return books


def _errors(events: Sequence[DecisionEvent]) -> dict[str, Mapping[str, float]]:
    """Return estimated over reported prompt tokens, minus one: negative for an underestimate."""
    seen: set[tuple[str, str]] = set()
    first: list[float] = []
    later: list[float] = []
    for event in sorted(events, key=lambda event: event.at):
        if event.usage is None or not event.usage.input:
            continue
        caller = (event.identity.key, event.model)
        error = event.expected.input / event.usage.input - 1
        (later if caller in seen else first).append(error)
        seen.add(caller)
    return {"first": _spread(first), "later": _spread(later)}


def _spread(errors: Sequence[float]) -> Mapping[str, float]:
    cuts = quantiles(errors, n=20)
    names = {"p05": 0, "p25": 4, "p50": 9, "p75": 14, "p95": 18}
    return {"calls": len(errors)} | {name: round(cuts[at], 3) for name, at in names.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.traffic")
    parser.add_argument("--corpora", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--prompts", type=int, default=2000, help="how many at most")
    parser.add_argument("--out", type=Path, help="where the JSON is written")
    arguments = parser.parse_args()
    result = asyncio.run(run(prompts(arguments.corpora, arguments.prompts)))
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    exact = not result["books"]["callers_off"] and set(result["statuses"]) == {200}
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
