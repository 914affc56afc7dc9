"""What the command says of buckets and capabilities."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from querybudget.cli.main import main
from querybudget.policy import presets
from querybudget.policy.model import Policy

POLICY = """\
secret: 0123456789abcdef0123456789abcdef
capabilities:
  coding: 3
  legal_advice: {examples: [Can my landlord do this?]}
budgets:
  - name: breadth
    limit: 400 buckets/30 days
    price: {slope: 4, cap: 3}
    then: {slow: 0.6, refuse: 0.955}
    mode: enforce
  - name: watched
    limit: 40 buckets/day
    match: {capability: [coding, mathematics]}
    price: none
    score: false
  - name: b4b
    limit: 40 buckets/day
    price: b4b
    then: degrade
"""


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


def test_check_says_what_follows_from_spending_buckets(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", policy]) == 0
    out, err = capsys.readouterr()
    assert [line.strip() for line in out.splitlines()[1:13]] == [
        "breadth  400 buckets in any 30 days, each identity, enforced",
        "the price of a call rises above 50 % spent, up to 3 times (linear)",
        "calls are slowed from 60 % by up to 5 seconds, refused from 95.5 %",
        "the sweep score counts like a spent share",
        (
            "watched  40 buckets in any day, each identity, for capability coding or mathematics,"
            " shadow: refuses no call"
        ),
        "the price of a call never rises",
        "calls are refused if they need more than is left",
        "the sweep score does not count",
        "b4b      40 buckets in any day, each identity, shadow: refuses no call",
        "the price of a call rises above 50 % spent, up to 10 times (b4b)",
        "calls are degraded from 85 %, refused if they need more than is left",
        "the sweep score counts like a spent share",
    ]
    assert err == ""


def test_check_says_what_is_opaque_judged_and_adapted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "secret: 0123456789abcdef\n"
        "adaptive: {disturb: 0.5%, established: {age: 2 days, calls: 9}, callers: 1000}\n"
        "budgets:\n"
        "  - {name: a, limit: 9 buckets/day, per: template, score: only, then: slow}\n"
        "  - {name: b, limit: 9/day, match: {opaque: true}}\n"
        "  - {name: c, limit: 9/day, match: {opaque: [image, text]}}\n"
    )
    assert main(["check", str(path)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:7] == [
        "a  9 buckets in any day, each template, shadow: refuses no call",
        "the price of a call rises above 50 % strain, up to 10 times (exponential)",
        "calls are slowed from 65 % by up to 5 seconds",
        "only the sweep score counts: nothing is spent",
        (
            "b  9 requests in any day, each identity, for calls that hold what cannot be read,"
            " enforced"
        ),
        (
            "c  9 requests in any day, each identity, for calls that hold what cannot be read"
            " (image or text), enforced"
        ),
    ]
    assert (
        "the sweep score disturbs at most 0.5 % of callers known for 2 days and 9 calls, once there"
        " are 1,000"
    ) in lines


@pytest.mark.parametrize(
    ("limit", "mode", "warned"),
    [
        ("5 requests/minute", "enforce", True),
        ("10 requests/minute", "enforce", False),
        ("5 requests/minute", "shadow", False),
        ("5 concurrent", "enforce", False),
    ],
)
def test_check_warns_of_a_limit_that_one_call_exceeds_at_the_highest_price(
    limit: str, mode: str, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "secret: 0123456789abcdef0123456789abcdef\n"
        "budgets:\n"
        f"  - {{name: few, limit: {limit}}}\n"
        f"  - {{name: breadth, limit: 400 buckets/day, mode: {mode}}}\n"
    )
    assert main(["check", str(path)]) == 0
    warning = "few: the price of `breadth` rises to 10, so one call can count as 10 requests"
    assert (warning in capsys.readouterr().err) is warned


def test_check_says_how_prompts_are_embedded(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", policy]) == 0
    out = capsys.readouterr().out
    assert "prompts are embedded by the embedding in the package" in out
    assert "capabilities: coding (counts 3 times), agentic_tool_use, " in out
    assert out.endswith(", small_talk, legal_advice (1 example)\n")


@pytest.mark.parametrize(
    ("embedding", "said"),
    [
        ("{remote: {url: 'http://me:secret@tei:80/v1', codebook: c}}", "the embeddings of tei:80"),
        ("{model2vec: {path: potion, codebook: c}}", "the model2vec embedding potion"),
        ("{callable: {target: 'our:embed', codebook: c}}", "the callable embedding our:embed"),
    ],
)
def test_check_names_another_embedding_without_its_password(
    embedding: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"embedding: {embedding}\nbudgets: [{{name: a, limit: 9 buckets/day}}]")
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert f"prompts are embedded by {said}\n" in out
    assert "secret" not in out


def test_check_warns_of_capabilities_that_no_budget_asks_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("capabilities: {coding: 3}\nbudgets: [{name: a, limit: 9/day}]")
    assert main(["check", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "no budget uses `capabilities`: none is in buckets" in err
    assert "capabilities" not in out


def test_presets_are_listed_printed_and_checked_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preset"]) == 0
    assert capsys.readouterr().out.split() == presets.names()
    assert main(["preset", "distillation"]) == 0
    path = tmp_path / "policy.yaml"
    path.write_text(capsys.readouterr().out)
    assert Policy.load(path).budgets == Policy.load("preset:distillation").budgets
    assert main(["check", "preset:distillation"]) == 0


def test_an_unknown_preset_is_reported_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["preset", "distilation"]) == 1
    assert capsys.readouterr().err == (
        "querybudget: expected the name of a preset, found 'distilation'"
        " (did you mean `distillation`?)\n"
    )


CODE = "Write a Python function that reverses a linked list, with unit tests in pytest."
EXPLAINED = """\
secret: 0123456789abcdef0123456789abcdef
capabilities: {coding: 3}
budgets:
  - {name: breadth, limit: 400 buckets/30 days, then: [slow, refuse], mode: enforce}
  - {name: code, limit: 2 buckets/day, match: {capability: coding}}
  - {name: chatter, limit: 4 buckets/day, match: {capability: [small_talk, role_play]}}
  - {name: coders, limit: 50 requests/day, match: {capability: [judging, coding]}}
"""


def explain(tmp_path: Path, prompt: object, *arguments: str) -> int:
    policy, request = tmp_path / "policy.yaml", tmp_path / "request.json"
    policy.write_text(EXPLAINED)
    messages = [{"role": "user", "content": prompt}]
    request.write_text(json.dumps({"model": "m", "max_tokens": 5, "messages": messages}))
    return main(["explain", str(policy), "--request", str(request), *arguments])


def test_explain_says_what_a_prompt_is_about_and_which_budgets_count_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(tmp_path, CODE) == 0
    heading, *budgets = capsys.readouterr().out.split("\n\n")
    assert "admit, every enforced budget has room for it; in shadow, code would have" in heading
    assert "  about     coding" in heading
    breadth, code, chatter, coders = budgets[:4]
    assert breadth.splitlines()[1:] == [
        "    costs 3 buckets if all of them are new",
        "    fits and leaves 397 buckets",
    ]
    assert "can never fit: the limit is 2 buckets" in code
    assert "it is for capability small_talk or role_play; this is coding" in chatter
    assert "leaves 49 requests" in coders


def test_explain_prints_json_about_the_prompt_without_any_bucket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(tmp_path, CODE, "--json") == 0
    explained = json.loads(capsys.readouterr().out)
    assert (explained["looked"], explained["embedded"]) == (True, True)
    assert "coding" in explained["capabilities"]
    breadth = explained["budgets"][0]
    assert (breadth["cost"], breadth["least"], breadth["left"]) == (3, 3, 397)
    assert not {"cells", "coarse", "point", "observation"} & {*explained, *breadth}


def test_explain_says_that_token_ids_are_new_ground_and_have_no_capability(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, request = tmp_path / "policy.yaml", tmp_path / "request.json"
    policy.write_text("budgets: [{name: breadth, limit: 400 buckets/30 days}]")
    request.write_text(json.dumps({"model": "m", "prompt": [1, 2, 3]}))
    asked = ["explain", str(policy), "--request", str(request), "--path", "/v1/completions"]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "looked at only what is not readable, as it is; for a new caller, 1 bucket" in out
    assert "about     unknown: it holds no text to embed, so it has no capability" in out
    assert "costs 1 bucket" in out


def test_explain_says_when_there_is_nothing_to_embed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(tmp_path, "") == 0
    out = capsys.readouterr().out
    assert "about     unknown: it could not be embedded" in out
    assert "costs 0 buckets\n    fits and leaves 400 buckets" in out
    assert "it is for capability coding; this is none" in out


def test_explain_says_that_nothing_is_asked_where_no_model_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(tmp_path, CODE, "--path", "/v1/files") == 0
    out = capsys.readouterr().out
    assert "does not apply: nothing is asked here that could be embedded" in out
    assert "about" not in out.split("\n\n")[0]


def test_check_warns_of_an_embedding_that_is_not_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "embedding: {model2vec: {path: potion, codebook: nowhere.npz}}\n"
        "budgets: [{name: a, limit: 9 buckets/day}]"
    )
    assert main(["check", str(path)]) == 0
    err = capsys.readouterr().err
    assert "warning: prompts cannot be embedded on this machine: " in err
    assert "nowhere.npz" in err


def test_explain_says_how_much_the_model_reads_and_nothing_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "secret: 0123456789abcdef\nidentity: [api_key]\nbudgets:\n"
        "  - {name: pool, limit: 9 buckets/day, per: template, score: only}\n"
        "  - {name: pictures, limit: 9/day, match: {opaque: image}}\n"
        "  - {name: sealed, limit: 9/day, match: {opaque: [tokens, audio, text]}}\n"
    )
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/heron.png"}}
    messages = [
        {"role": "system", "content": "You know birds."},
        {"role": "user", "content": [{"type": "text", "text": "Which bird is this?"}, picture]},
    ]
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"model": "m", "messages": messages}))
    assert main(["explain", str(policy), "--request", str(request)]) == 0
    out = capsys.readouterr().out
    assert (
        "  reads     1 text said, 19 characters; 1 text given to it, 15 characters; not readable: 1"
        " of image\n  looked at 2 chunks, 1 said and 1 given to it; what is not readable, as"
        " it is; for a new caller, "
    ) in out
    assert "costs nothing: the sweep score of the pool decides" in out
    assert "it is for calls that hold tokens or audio or text; this holds image" in out
    assert "bird" not in out
    assert "heron" not in out
    assert main(["explain", str(policy), "--request", str(request), "--json"]) == 0
    reads = json.loads(capsys.readouterr().out)["reads"]
    assert (reads["said"], reads["fed"], reads["opaque"]) == ([1, 19], [1, 15], {"image": 1})
    assert reads["looked"] == [1, 1]
    assert 2 <= reads["buckets"] <= 3
