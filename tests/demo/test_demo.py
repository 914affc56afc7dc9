from __future__ import annotations

import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from querybudget import demo
from querybudget.cli.main import main
from querybudget.demo import POLICY
from querybudget.demo.callers import CALLERS, EACH, HEADS, PEOPLE
from querybudget.demo.prompts import agent, conversation, documents, hidden
from querybudget.demo.show import show
from querybudget.errors import SetupError
from querybudget.policy.model import Policy
from querybudget.testing import sweep
from querybudget.units import MICRO


@pytest.fixture(scope="module")
def shown() -> str:
    """What two seconds of the demo print if standard output is no terminal."""
    command = [sys.executable, "-m", "querybudget", "demo", "--seconds", "2", "--plain"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def of(shown: str, caller: str) -> str:
    """A caller's line in the summary."""
    found = re.search(rf"^  {caller} .*$", shown, re.MULTILINE)
    assert found is not None
    return found[0]


def test_the_last_line_names_the_policy_and_says_that_its_limits_are_small(shown: str) -> None:
    (breadth,) = [one for one in Policy.load(POLICY).budgets if one.name == "breadth"]
    last = shown.rstrip().rpartition("\n")[2]
    assert f"{breadth.quota.limit // MICRO} buckets" in last
    assert last.endswith(f"The policy: {POLICY}")


def test_the_chat_user_is_never_refused(shown: str) -> None:
    assert "sent 40, admitted 40, refused 0;" in of(shown, "chat user")


@pytest.mark.parametrize("caller", ["chat user", "agent", "documents", "newcomers"])
def test_an_honest_caller_pays_a_price_of_one_and_meets_no_stage(shown: str, caller: str) -> None:
    assert re.search(r"refused 0; .* buckets, last price 1\.0$", of(shown, caller))


def test_a_sweeper_who_hides_and_repeats_itself_is_priced_out(shown: str) -> None:
    line = of(shown, "sweeper")
    found = re.search(r"; (\d+) of 80 buckets, last price ([\d.]+), (.*)$", line)
    assert found is not None, line
    assert float(found[2]) == 10
    assert "by breadth" in line
    stages = re.findall(r"sweeper +stage (\w+)", shown)
    assert list(dict.fromkeys(stages)) == ["slow", "degrade", "refuse"]
    assert re.search(r"stage slow, at a price of [\d.]+", shown)
    assert re.search(r"stage refuse, at a price of 10\.0", shown)
    assert all(f"{stage} (" in found[3] for stage in stages)
    assert int(found[1]) <= 80


def test_a_hydra_is_held_beside_honest_newcomers(shown: str) -> None:
    line = of(shown, "hydra")
    held = {stage: int(calls) for stage, calls in re.findall(r"(\w+) \((\d+)\)", line)}
    assert held["degrade"] > 40, line
    assert re.search(r"hydra +stage slow, at a price of [\d.]+, because of newcomers alike", shown)
    assert "sent 80, admitted 80, refused 0;" in of(shown, "newcomers")


def test_no_account_of_the_hydra_asks_what_another_does_or_more_than_a_person() -> None:
    hydra, newcomers = (c for c in CALLERS if c.name in {"hydra", "newcomers"})
    assert len(set(sweep(HEADS * EACH))) == HEADS * EACH
    assert (len(set(hydra.keys)), len(set(newcomers.keys))) == (HEADS, PEOPLE)
    assert EACH < 15


def test_the_sweeper_is_shown_no_figure(shown: str) -> None:
    refusals = re.findall(r"sweeper +refused with 429: (.*)", shown)
    assert refusals
    assert all("abnormal-usage-detected" in words for words in refusals)
    assert not any("breadth" in words or "bucket" in words for words in refusals)


def test_callers_ask_something_else_each_time() -> None:
    assert len(set(sweep(1147))) == 1147
    assert len(set(conversation())) == len(list(conversation()))
    assert len({str(messages) for messages in agent()}) == len(list(agent()))
    assert len({str(messages) for messages in documents()}) == len(list(documents()))


def test_an_agent_sends_its_whole_conversation_again() -> None:
    calls = list(agent())
    assert all(call[: len(before)] == before for before, call in pairwise(calls))


def test_a_hidden_prompt_is_said_by_a_tool_alone() -> None:
    said = {role: text for text in hidden("What is a noun?") for role in [text["role"]]}
    assert said["tool"]["content"] == "What is a noun?"
    assert "noun" not in str([said["user"], said["assistant"]])


def test_the_burst_is_held_to_eight_at_once(shown: str) -> None:
    assert "sent 24, admitted 8, refused 16 by parallel (16)" in of(shown, "burst")
    assert "Too many concurrent requests for budget 'parallel'" in shown


def test_long_answers_stop_at_their_tokens(shown: str) -> None:
    line = of(shown, "long answers")
    assert "sent 15, admitted 12, refused 3 by tokens (3); 99,600 tokens" in line


def test_a_client_that_hangs_up_pays_for_what_was_sent(shown: str) -> None:
    settled = re.findall(r"settled at the (\d+) tokens that were sent; 2000 were reserved", shown)
    assert len(settled) == 2
    assert all(0 < int(tokens) < 200 for tokens in settled)


def test_an_array_counts_each_of_its_texts(shown: str) -> None:
    assert "requests (2)" in of(shown, "embeddings")
    assert "It is more than the budget ever allows" in shown


def test_another_policy_decides_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "mode: shadow\nidentity: [api_key]\nbudgets: [{name: none, limit: 1 request/day}]"
    )
    assert main(["demo", "--seconds", "1", "--plain", "--policy", str(path)]) == 0
    out = capsys.readouterr().out
    assert "sent 24, admitted 24, refused 0" in of(out, "burst")
    assert "buckets" not in out


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(SetupError, match=r"needs uvicorn: .* 'querybudget\[demo\]'"):
        demo.run()


def test_its_policy_is_right() -> None:
    assert [budget.name for budget in Policy.load(POLICY).budgets] == [
        "requests",
        "tokens",
        "parallel",
        "spend",
        "everyone",
        "breadth",
        "new-ground",
    ]


def test_interrupting_it_leaves_no_traceback() -> None:
    # A shell's background jobs, and so what they start, ignore the signal unless they handle it.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heed}; from querybudget.cli.main import main; raise SystemExit(main())"
    demo = ["demo", "--seconds", "30", "--plain"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *demo],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as ran:
        assert ran.stdout is not None
        assert ran.stderr is not None
        assert ran.stdout.readline()
        ran.send_signal(signal.SIGINT)
        assert ran.stderr.read() == ""
    assert ran.returncode == 130


@pytest.mark.anyio
async def test_on_a_terminal_a_table_shows_every_caller_and_who_refused_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    await show(Policy.load(POLICY), 1, plain=False)
    shown, _, summary = capsys.readouterr().out.partition("What each caller got:")
    assert len(shown.splitlines()) < 24
    assert all(caller.name in shown for caller in CALLERS)
    assert "parallel (16)" in shown
    assert "tokens (3)" in shown
    assert re.search(r"sweeper +300 +breadth .* 10\.0 +(refuse|degrade)", shown)
    assert "http://127.0.0.1:" in shown
    assert "sweeper" in summary
