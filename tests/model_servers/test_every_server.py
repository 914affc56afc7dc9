"""What is promised holds on the servers that people run, each the example of docs/servers.md."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.model_servers.served import ROOT, Kind, Service, chosen, served
from tests.servers.process import PATIENCE

pytestmark = pytest.mark.model_server

HELLO: Any = [{"role": "user", "content": "hello there you"}]
ASKED = 3
"""Tokens of that prompt."""

LIMIT = 8
"""Requests that the examples' policies allow."""

PAGES = sorted((ROOT / "docs/servers").glob("*.md"))
BLOCKS = re.compile(
    r"^```(?:console\n\$ curl|py\nimport openai\n)(.*?)^```$", re.MULTILINE | re.DOTALL
)
"""The request and the program of a page."""

LONG = 3_000
"""Words that a model takes half a minute to say."""


@pytest.fixture(scope="module", params=chosen())
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    kind: Kind = request.param
    kind.need()
    with served(kind, tmp_path_factory.mktemp(kind.name), kind.workers) as running:
        yield running


KEYS = itertools.count(1)


@pytest.fixture
def key() -> str:
    return f"sk-caller-{next(KEYS)}"


def chat(client: openai.OpenAI, count: int, **more: Any) -> Any:
    return client.chat.completions.create(model="tern", messages=HELLO, max_tokens=count, **more)


def words(count: int) -> str:
    return "".join(f"{number} " for number in range(count))


def texts(stream: Any) -> Iterator[str]:
    for event in stream:
        if event.choices and event.choices[0].delta.content:
            yield event.choices[0].delta.content


def test_a_call_is_charged_what_it_used(service: Service, key: str) -> None:
    with service.openai(key) as client:
        answer = chat(client, 7)
    if service.kind.words:
        assert answer.choices[0].message.content.strip() == words(7).strip()
        assert answer.usage.total_tokens == ASKED + 7
    used = {"requests": 1, "tokens": answer.usage.total_tokens, "parallel": 0}
    assert service.wait_until_settled(key) == used


def test_a_stream_arrives_in_pieces_and_is_charged_what_it_used(service: Service, key: str) -> None:
    with service.openai(key) as client:
        events = list(chat(client, 7, stream=True, stream_options={"include_usage": True}))
    said = list(texts(events))
    assert len(said) > 1
    used = service.wait_until_settled(key)
    if service.kind.words:
        assert "".join(said).strip() == words(7).strip()
        assert used == {"requests": 1, "tokens": ASKED + 7, "parallel": 0}
    if service.kind.reports:
        reported = [event.usage.total_tokens for event in events if event.usage]
        assert used["tokens"] == reported[-1]
    assert used["tokens"] > 0


def test_a_stream_whose_caller_asks_for_no_usage_is_charged_no_less(
    service: Service, key: str
) -> None:
    with service.openai(key) as client:
        said = list(texts(chat(client, 7, stream=True)))
    assert service.wait_until_settled(key)["tokens"] >= len(said)


def test_pieces_arrive_while_the_model_still_speaks_and_hanging_up_frees_the_call(
    service: Service, key: str
) -> None:
    if not service.kind.words:
        pytest.skip("its model is too small to take its time")
    with service.openai(key) as client:
        stream = chat(client, LONG, stream=True)
        said = list(itertools.islice(texts(stream), 3))
        assert "".join(said).split() == ["0", "1", "2"]
        assert service.used(key)["parallel"] == 1  # it is not over
        stream.close()
    used = service.wait_until_settled(key)
    assert used["requests"] == 1
    assert 0 < used["tokens"] < LONG


def test_a_limit_is_exact_over_all_workers_and_the_client_understands_the_refusal(
    service: Service, key: str
) -> None:
    with service.openai(key) as client, ThreadPoolExecutor(2) as threads:
        outcomes = Counter(threads.map(lambda _: outcome(client), range(LIMIT + 4)))
    assert outcomes == {"answered": LIMIT, "insufficient_quota": 4}
    with service.openai(key) as client, pytest.raises(openai.RateLimitError) as refused:
        chat(client, 1)
    assert refused.value.status_code == 429
    assert 0 < int(refused.value.response.headers["retry-after"]) <= 3600
    assert "requests" in refused.value.message
    used = service.wait_until_settled(key)
    assert (used["requests"], used["parallel"]) == (LIMIT, 0)


def test_the_request_and_the_client_of_its_page_are_answered_and_refused(service: Service) -> None:
    texts = (page.read_text() for page in PAGES)
    page = next(text for text in texts if f"examples/servers/{service.kind.name}" in text)
    request, program = (
        re.sub(r"http://127\.0\.0\.1:\d+", service.url, block).replace('"MODEL"', '"tern"')
        for block in BLOCKS.findall(page)
    )
    sent = shlex.split(request)
    body = json.loads(sent[sent.index("-d") + 1])
    answer = post(service, "/v1/chat/completions", body, "sk-ada")
    assert (answer.status_code, answer.headers["x-ratelimit-remaining-requests"]) == (200, "7")
    ran = subprocess.run(
        [sys.executable, "-c", f"import openai\n{program}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    *answered, refused = ran.stdout.splitlines()
    assert len(answered) == LIMIT - 1
    assert "reached for budget 'requests'" in refused


def outcome(client: openai.OpenAI) -> str:
    try:
        chat(client, 1)
    except openai.RateLimitError as refused:
        return str(refused.code)
    return "answered"


def test_anthropic_s_client_is_answered_charged_and_refused(service: Service, key: str) -> None:
    if not service.kind.anthropic:
        pytest.skip("it does not speak Anthropic's dialect")
    asked: dict[str, Any] = {"model": "tern", "max_tokens": 5, "messages": HELLO}
    with service.anthropic(key) as client:
        answer: Any = client.messages.create(**asked)
        assert answer.content[0].text.strip() == words(5).strip()
        assert service.wait_until_settled(key)["tokens"] == ASKED + 5
        with client.messages.stream(**asked) as stream:
            said = list(stream.text_stream)
        assert len(said) > 1
        assert "".join(said).strip() == words(5).strip()
        used = {"requests": 2, "tokens": 2 * (ASKED + 5), "parallel": 0}
        assert service.wait_until_settled(key) == used
        for _ in range(LIMIT - 2):
            client.messages.create(**asked)
        with pytest.raises(anthropic.RateLimitError) as refused:
            client.messages.create(**asked)
    body: Any = refused.value.body
    assert body["error"]["type"] == "rate_limit_error"
    assert int(refused.value.response.headers["retry-after"]) > 0


def test_routes_that_only_this_server_has_are_charged(service: Service, key: str) -> None:
    if service.kind.name not in OWN_ROUTES:
        pytest.skip("it has none here")
    before = 0
    for path, body, tokens in OWN_ROUTES[service.kind.name]:
        assert post(service, path, body, key).status_code == 200
        used = service.wait_until_settled(key)
        charged, before = used["tokens"] - before, used["tokens"]
        assert charged == tokens or (tokens is None and charged > 0)
    assert service.used(key)["requests"] == len(OWN_ROUTES[service.kind.name])


def post(service: Service, path: str, body: Any, key: str = "") -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.post(f"{service.url}{path}", json=body, headers=headers, timeout=PATIENCE)


SCORE = ("/score", {"text_1": "a tern", "text_2": "a gull or two"}, 6)
GENERATE = {"text": "hello there you", "sampling_params": {"max_new_tokens": 7}}
OWN_ROUTES: dict[str, list[tuple[str, dict[str, Any], int | None]]] = {
    "vllm": [
        SCORE,
        ("/invocations", {"model": "tern", "messages": HELLO, "max_tokens": 7}, ASKED + 7),
    ],
    "sglang": [
        ("/generate", GENERATE, ASKED + 7),
        ("/generate", {**GENERATE, "stream": True}, ASKED + 7),
    ],
    "bentoml": [("/count", {"prompt": "hello there you", "max_tokens": 7}, None)],
}
"""Paths, bodies, and the tokens of each; None where the answer reports none."""


@pytest.mark.parametrize("kind", [one for one in chosen() if one.id in {"vllm", "sglang"}])
def test_a_key_that_the_server_refuses_is_charged_nothing_and_routes_outside_its_check_are(
    kind: Kind, tmp_path: Path
) -> None:
    guarded = replace(kind, command=(*kind.command, "--api-key", "sk-right"))
    with served(guarded, tmp_path) as service:
        chat = {"model": "tern", "messages": HELLO, "max_tokens": 7}
        for key in ("sk-wrong", ""):
            assert post(service, "/v1/chat/completions", chat, key).status_code == 401
            assert service.wait_until_settled(key)["requests"] == 0
        if kind.name == "vllm":
            path, body, tokens = SCORE
            assert post(service, path, body).status_code == 200
            used = {"requests": 1, "tokens": tokens, "parallel": 0}
            assert service.wait_until_settled("") == used
        assert post(service, "/v1/chat/completions", chat, "sk-right").status_code == 200
        assert service.wait_until_settled("sk-right")["tokens"] == ASKED + 7


@pytest.mark.parametrize("kind", chosen())
def test_a_server_that_is_told_to_end_in_the_middle_of_a_stream_loses_nothing(
    kind: Kind, tmp_path: Path
) -> None:
    key, count = "sk-last", 50
    with served(kind, tmp_path) as service:
        with service.openai(key) as client:
            stream = texts(chat(client, count, stream=True, stream_options=USAGE))
            said = next(stream)
            service.tell_to_end()
            with contextlib.suppress(*CUT[kind.drains]):
                said += "".join(stream)
        service.process.wait_for_silence()
        used = service.used(key)
    assert used["parallel"] == 0
    assert used["requests"] == 1
    assert used["tokens"] > 0
    if kind.words and kind.drains:
        assert said.strip() == words(count).strip()
        assert used["tokens"] == ASKED + count


CUT = {True: (), False: (openai.APIConnectionError,)}
"""What a client raises, by whether its server lets streams end."""


USAGE = {"include_usage": True}
