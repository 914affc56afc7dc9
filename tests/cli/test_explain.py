"""What `explain` says of a call: how its tokens are estimated, and why a budget is not for it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from querybudget.cli.main import main

POLICY = """\
secret: 0123456789abcdef0123456789abcdef
tiers: {keyless: {when: {source: [client_address]}}}
models: {gpt: {input: 1, output: 1}}
budgets:
  - {name: tokens, limit: 1M tokens/day}
  - {name: chats, limit: 9 requests/day, match: {operation: chat}}
  - {name: whole, limit: 9 requests/day, match: {stream: false}}
  - {name: known, limit: 9 requests/day, match: {tier: default}}
  - {name: puts, limit: 9 requests/day, match: {method: PUT}}
"""
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def explained(tmp_path: Path, policy: str, body: object, *arguments: str) -> None:
    policy_file, request = tmp_path / "policy.yaml", tmp_path / "request.json"
    policy_file.write_text(policy)
    request.write_text(json.dumps(body))
    assert main(["explain", str(policy_file), "--request", str(request), *arguments]) == 0


def chat(content: object, **more: Any) -> Mapping[str, object]:
    return {"model": "gpt", "messages": [{"role": "user", "content": content}]} | more


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/embeddings", {"model": "gpt", "input": "hello"}, "; nothing is generated"),
        ("/v1/embeddings", {"model": "gpt", "input": [1, 2, 3]}, "and 3 tokens sent as token ids"),
        ("/v1/completions", {"prompt": ["a", "b"], "n": 2, "max_tokens": 7}, "each of 4 answers"),
        ("/v1/chat/completions", chat([PICTURE]), "and 1 image of 1000 tokens"),
        ("/v1/chat/completions", chat([PICTURE, PICTURE]), "and 2 images of 1000 tokens"),
        (
            "/v1/chat/completions",
            chat("hi"),
            "; 512 tokens generated, which is `estimate.output_tokens`",
        ),
        ("/v1/files", {}, "no route reads this path, so the call counts as one request"),
    ],
)
def test_explain_says_how_tokens_are_estimated(
    path: str, body: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explained(tmp_path, POLICY, body, "--path", path)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("/v1/embeddings", {"input": "hello"}, "it is for operation chat; this is embeddings"),
        ("/v1/chat/completions", chat("hi", stream=True), "it is not for streams"),
        ("/v1/chat/completions", chat("hi"), "it is for tier default; this is keyless"),
        ("/v1/chat/completions", chat("hi"), "it is for method PUT; this is POST"),
        ("/v1/files", {}, "tokens: 1,000,000 tokens in any day, each identity\n    does not apply"),
    ],
)
def test_explain_says_why_a_budget_is_not_for_a_call(
    path: str, body: object, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explained(tmp_path, POLICY, body, "--path", path)
    assert why in capsys.readouterr().out


def test_explain_says_that_a_model_has_no_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = POLICY + "  - {name: spend, limit: 5 usd/day}\n"
    explained(tmp_path, policy, chat("hi", model="other"))
    assert "unpriced, a money budget applies, and no price" in capsys.readouterr().out


def test_explain_says_that_no_budget_is_for_a_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = "budgets: [{name: a, limit: 9/day, per: everyone, match: {path: /v1/*}}]"
    explained(tmp_path, policy, {}, "--path", "/docs")
    out = capsys.readouterr().out
    assert "untouched, no budget is for this method and path" in out
    assert "everyone together" in out
    assert "it is for path /v1/*; this is /docs" in out


def test_check_says_how_a_burst_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("budgets: [{name: a, limit: 60/hour, window: gcra, burst: 5}]")
    assert main(["check", str(path)]) == 0
    assert "60 requests per hour, 5 requests at once" in capsys.readouterr().out


def test_explain_reads_a_request_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    body = json.dumps(chat("hi", max_tokens=7)).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
    assert main(["explain", str(policy), "--request", "-"]) == 0
    assert "at most 7 tokens generated" in capsys.readouterr().out


def test_check_names_the_tiers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    assert main(["check", str(path)]) == 0
    assert "tiers: keyless\n" in capsys.readouterr().out


def test_explain_says_that_a_caller_is_not_identified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = "identity: [api_key]\nbudgets: [{name: a, limit: 9/day}]"
    explained(tmp_path, policy, chat("hi"))
    assert "not identified (the shared anonymous account), tier" in capsys.readouterr().out


def test_check_says_how_callers_are_identified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("identity: [user, api_key]\nbudgets: [{name: a, limit: 9/day}]")
    assert main(["check", str(path)]) == 0
    identified = "identified by user, then api_key; otherwise all share one anonymous account\n"
    assert identified in capsys.readouterr().out


def test_explain_says_who_spends_a_budget_of_suspects_and_who_is_in_no_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = """\
secret: 0123456789abcdef0123456789abcdef
linking: {mode: enforce}
budgets:
  - {name: newcomers, limit: 9 buckets/30 days, per: tier, suspects: {}, then: [slow]}
  - {name: ring, limit: 9 requests/minute, per: group}
"""
    explained(tmp_path, policy, chat("How do I bake bread?"))
    said = capsys.readouterr().out
    assert "only if its population test touches the caller; anybody else spends none of it" in said
    assert "each group; a caller in no group is on its own" in said


def test_explain_says_that_no_budget_is_enforced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explained(tmp_path, "budgets: [{name: a, limit: 9/day, mode: shadow}]", chat("hi"))
    assert "admit, no budget is enforced\n" in capsys.readouterr().out


def test_explain_says_how_many_of_the_places_a_call_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explained(tmp_path, "budgets: [{name: a, limit: 4 concurrent}]", chat("hi"))
    assert "    takes 1 of 4 places until it ends\n" in capsys.readouterr().out


WEBSOCKET_POLICY = """\
secret: 0123456789abcdef0123456789abcdef
budgets:
  - {name: opened, limit: 1 requests/day, match: {operation: handshake}}
  - {name: sent, limit: 9 requests/day, match: {operation: message}}
  - {name: tokens, limit: 1M tokens/day}
  - {name: open, limit: 2 concurrent}
"""


def test_explain_shows_the_handshake_and_the_messages_of_a_websocket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explained(tmp_path, WEBSOCKET_POLICY, "hello", "--method", "websocket", "--path", "/ws")
    handshake, message = capsys.readouterr().out.split("each message: ")
    assert handshake.startswith("WEBSOCKET /ws: admit, ")
    assert "call      handshake, streamed" in handshake
    assert "it is for operation message; this is handshake" in handshake
    assert "takes 1 of 2 places" in handshake
    assert "call      message, streamed" in message
    assert "it is for operation handshake; this is message" in message
    assert "7 bytes of prompt" in message
    assert "does not apply: the connection holds a place" in message


def test_explain_says_that_a_caller_without_a_name_is_refused_and_logs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    policy = """
partitions: {org: {claim: org.id, missing: refuse}}
budgets:
  - {name: org, limit: 60/minute, per: org}
  - {name: watched, limit: 60/minute, per: org, mode: shadow}
"""
    explained(tmp_path, policy, chat("hi"))
    out, err = capsys.readouterr()
    assert "never, the caller has no name in what org is pooled over (`missing: refuse`)" in out
    assert "org: 60 requests in any minute, each org; a caller without org is refused" in out
    assert "a caller without org is on its own, shadow" in out
    assert "fit" not in out
    assert (err, caplog.messages) == ("", [])


OVERRIDDEN = """\
secret: 0123456789abcdef0123456789abcdef
identity: [api_key]
overrides:
  - {api_key: ada, factor: 2, budget: rpm, reason: launch}
  - {api_key: ada, allow: true, budget: tokens}
  - {api_key: bob, block: true}
budgets:
  - {name: rpm, limit: 9 requests/minute}
  - {name: tokens, limit: 1 tokens/day}
"""


def test_explain_says_which_overrides_apply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explained(tmp_path, OVERRIDDEN, chat("hello"), "--header", "authorization: Bearer ada")
    out = capsys.readouterr().out
    assert "rpm: 18 requests in any minute" in out
    assert "override: rpm: limit times 2 (launch)" in out
    assert "override: allowed: tokens counts and refuses nothing" in out
    assert "admit" in out.splitlines()[0]
    explained(tmp_path, OVERRIDDEN, chat("hello"), "--header", "authorization: Bearer bob")
    assert "blocked, an override blocks the caller" in capsys.readouterr().out
    explained(tmp_path, OVERRIDDEN, chat("hello"), "--header", "authorization: Bearer eve")
    out = capsys.readouterr().out
    assert "rpm: 9 requests in any minute" in out
    assert "override" not in out


def test_check_says_where_overrides_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(OVERRIDDEN)
    assert main(["check", str(path)]) == 0
    assert "overrides: 3 in the policy" in capsys.readouterr().out


KNOWN = """\
secret: 0123456789abcdef0123456789abcdef
identity: [api_key]
models: {gpt: {input: 1, output: 1}}
tiers:
  new:
    when: {age: {below: 7 days}}
    scale: {price: 2, delay: 3}
    then: {slow: 0.4, refuse: 0.8}
  good:
    when: {age: 90 days, calls: {at_least: 1k, below: 5k}, spent: $20, clean: 30 days}
    then: []
budgets:
  - {name: rpm, limit: 9 requests/day}
  - {name: breadth, limit: 400 buckets/30 days, then: [slow]}
"""


def test_check_says_what_tiers_ask_of_a_caller_and_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(KNOWN)
    assert main(["check", str(path)]) == 0
    said, warned = capsys.readouterr()
    assert (
        "  new: known for less than 1 week; prices rise 2 times as far; delays last 3 times as"
        " long; calls are slowed from 40 %, refused from 80 %\n" in said
    )
    assert (
        "  good: known for at least 90 days; at least 1,000 and less than 5,000 calls answered in a"
        " year; at least $20 spent in a year; neither slowed, degraded nor refused by its own"
        " budgets for at least 30 days; calls are in no stage\n" in said
    )
    assert "charge nothing" not in warned


SCALED = """\
secret: 0123456789abcdef0123456789abcdef
identity: [user]
partitions: {org: {claim: org.id}}
tiers:
  trial: {when: {claim: {plan: [trial]}}, scale: {tokens: 0.1, requests: 0.5}}
budgets:
  - {name: rpm, limit: 60 requests/minute}
  - {name: own, limit: 1M tokens/day}
  - {name: org-tokens, limit: 2M tokens/day, per: org}
  - {name: all, limit: 9M tokens/day, per: everyone}
  - {name: others, limit: 5M tokens/day, match: {tier: default}}
  - {name: broad, limit: 400 buckets/30 days}
"""


def test_check_says_what_a_tiers_scale_makes_of_each_limit_and_that_pools_are_shared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(SCALED)
    assert main(["check", str(path)]) == 0
    assert (
        "  trial: rpm becomes 30 requests in any minute; own becomes 100,000 tokens in any day;"
        " org-tokens becomes 200,000 tokens in any day, of what all calls of one org use; all"
        " becomes 900,000 tokens in any day, of what all calls use\n"
    ) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "tier"),
    [
        ((), "tier new (a newcomer, without `--age` and the like)\n"),
        (("--age", "8 days"), "tier default\n"),
        (("--age", "90d", "--calls", "1000", "--spent", "$20", "--clean", "30d"), "tier good\n"),
        (("--age", "90d", "--calls", "1000", "--spent", "20", "--clean", "29d"), "tier default\n"),
    ],
)
def test_explain_takes_what_the_store_would_know(
    arguments: tuple[str, ...], tier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explained(tmp_path, KNOWN, chat("hi"), "--header", "authorization: Bearer k", *arguments)
    assert tier in capsys.readouterr().out


def test_explain_refuses_a_history_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["explain", "policy.yaml", "--age", "long"])
    assert "expected a duration such as" in capsys.readouterr().err


VERIFIED = """\
secret: 0123456789abcdef0123456789abcdef
identity: [user]
partitions: {org: {claim: org.id}}
tiers: {partner: {when: {claim: {plan: [partner]}}}}
budgets:
  - {name: ours, limit: 9 requests/day, per: org}
"""


def test_explain_takes_the_user_and_the_claims_that_the_application_would_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explained(tmp_path, VERIFIED, chat("hi"))
    nobody = capsys.readouterr().out
    assert "not identified" in nobody
    assert "a caller without org is on its own" in nobody
    claims = ("--claim", "org.id=acme", "--claim", "plan=partner")
    explained(tmp_path, VERIFIED, chat("hi"), "--user", "ada", *claims)
    said = capsys.readouterr().out
    assert "identified by user, tier partner\n" in said
    assert "without org" not in said


def test_explain_wants_a_claim_with_its_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(VERIFIED)
    assert main(["explain", str(path), "--claim", "org.id"]) == 1
    assert "expected a claim as NAME=VALUE, found 'org.id'" in capsys.readouterr().err
