"""What a policy comes to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from querybudget.errors import PolicyError
from querybudget.ledger.calendar import Calendar
from querybudget.policy.load import MAX_FILE, load_text
from querybudget.policy.model import (
    Disclosure,
    GenericRoute,
    Match,
    Mode,
    OnStoreError,
    Policy,
    ResolverSpec,
)
from querybudget.policy.prices import TokenWeights
from querybudget.units import MICRO, SECOND, Algorithm, Period, Unit

GOOD = sorted((Path(__file__).parent / "good").glob("*.yaml"))
SECRET = "0123456789abcdef0123456789abcdef"
ENVIRON = {"QUERYBUDGET_SECRET": SECRET, "MAX": "5000"}
DAY = 86_400 * SECOND
RPM = {"name": "rpm", "limit": "60/minute"}


def good(name: str) -> Policy:
    return Policy.load(Path(__file__).parent / "good" / f"{name}.yaml", environ=ENVIRON)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_policies_load(path: Path) -> None:
    policy = Policy.load(str(path), environ=ENVIRON)
    assert policy.source == str(path)
    assert policy.budgets


@pytest.mark.parametrize("name", ["smallest", "words_for_lists", "windows", "public_api"])
def test_a_mapping_is_read_like_the_file_with_the_same_keys(name: str) -> None:
    text = (Path(__file__).parent / "good" / f"{name}.yaml").read_text("utf-8")
    words = yaml.load(text.replace("X-Partner: yes", "X-Partner: 'yes'"), Loader=yaml.SafeLoader)
    from_mapping = Policy.load(words, environ=ENVIRON)
    from_text = load_text(text, "<mapping>", ENVIRON)
    assert from_mapping == from_text


def test_the_smallest_policy_has_sensible_defaults() -> None:
    policy = Policy.load({"budgets": [RPM]}, environ={})
    assert policy.identity == (
        ResolverSpec("user"),
        ResolverSpec("api_key"),
        ResolverSpec("client_address"),
    )
    assert {"/health", "/healthz", "/livez", "/readyz", "/ping", "/metrics"} <= set(policy.probes)
    (budget,) = policy.budgets
    assert budget.mode is Mode.ENFORCE
    assert budget.per == ("identity",)
    assert budget.match == Match()
    assert budget.weights == TokenWeights()
    assert budget.on_store_error is OnStoreError.ALLOW
    assert policy == Policy(budgets=policy.budgets, identity=policy.identity, probes=policy.probes)


def test_notations_of_the_same_limit_come_to_the_same_integers() -> None:
    quotas = {budget.name: budget.quota for budget in good("notations").budgets}
    written = {
        name: (quota.limit // MICRO, quota.unit, quota.window // SECOND)
        for name, quota in quotas.items()
    }
    assert written["a"] == written["b"] == (60, Unit.REQUESTS, 60)
    assert written["c"] == (100, Unit.REQUESTS, 300)
    assert written["d"] == (10, Unit.REQUESTS, 7200)
    assert written["e"] == written["f"] == written["g"] == (2_000_000, Unit.TOKENS, 86_400)
    assert written["h"] == (500_000, Unit.INPUT_TOKENS, 3600)
    assert written["i"] == (500_000, Unit.OUTPUT_TOKENS, 3600)
    assert written["j"] == written["k"] == (50, Unit.USD, 30 * 86_400)
    assert quotas["l"].limit == MICRO // 2
    assert written["m"] == written["n"] == (8, Unit.CONCURRENT, 0)
    assert quotas["m"].algorithm is Algorithm.LEASE
    assert written["o"] == (100, Unit.REQUESTS, 30 * 86_400)


def test_windows_are_kept_as_the_policy_says() -> None:
    quotas = {budget.name: budget.quota for budget in good("windows").budgets}
    assert (quotas["burst"].algorithm, quotas["burst"].burst) == (Algorithm.GCRA, 20 * MICRO)
    assert quotas["tokens"].burst == 100_000 * MICRO
    assert quotas["money"].burst == MICRO // 2
    assert quotas["day"].algorithm is Algorithm.SLIDING
    assert quotas["day"].bounds is None
    spend = quotas["spend"]
    assert (spend.algorithm, spend.window) == (Algorithm.CALENDAR, 30 * DAY)
    assert isinstance(spend.bounds, Calendar)
    assert spend.bounds.period is Period.MONTH
    assert spend.bounds(0) == (0, 31 * DAY)
    assert str(getattr(quotas["week"].bounds, "zone", None)) == "Europe/Berlin"


def test_a_whole_policy_is_read_without_loss() -> None:
    policy = good("public_api")
    assert policy.secret == SECRET.encode()
    assert policy.identity[2] == ResolverSpec(
        "header", "x-end-user", ("10.0.0.0/8", "fd00::/8", "unix")
    )
    assert [spec.name for spec in policy.identity[3:5]] == ["sub", "org.member"]
    assert policy.identity[5].trusted_proxies == ("0.0.0.0/0", "::/0")
    assert policy.partitions["team"].resolver.trusted_proxies == ("192.0.2.7/32",)
    assert policy.partitions["network"].resolver.ipv6_prefix == 48
    assert [tier.name for tier in policy.tiers] == ["anonymous", "trusted", "partner"]
    assert policy.tiers[1].when.claims == {"plan": {"enterprise", "3", "true"}}
    assert policy.tiers[2].when.headers == {"x-partner": {"yes"}}
    assert policy.tiers[0].scale == {"rpm": MICRO // 10, "tokens": MICRO // 10}
    assert policy.hold == 600 * SECOND
    assert policy.max_identities == 1_000_000
    assert policy.estimate.bytes_per_token == 3_500_000
    assert policy.refusals.disclose is Disclosure.REFUSALS
    assert policy.refusals.ietf == "draft-11"
    assert policy.refusals.long_wait == 120 * SECOND
    assert policy.body.limit == 32 << 20
    assert policy.exempt == ("/health", "/metrics", "/docs")
    assert policy.routes == (
        GenericRoute(
            path="/generate",
            operation="generate",
            model="/model",
            prompt=("/inputs", "/parameters/system~1prompt"),
            max_output="/parameters/max_new_tokens",
            stream="/stream",
            choices="/parameters/best_of",
            input_usage="/details/prefill_length",
            output_usage="/details/generated_tokens",
            text="/generated_text",
        ),
    )
    assert policy.budgets[6].match == Match(
        path=("/v1/chat/completions", "/v1/messages"),
        method=("POST",),
        model=("gpt-*", "claude-*"),
        operation=("chat", "messages", "gen*"),
        tier=("anonymous", "default"),
        stream=True,
    )


def test_prices_are_exact_picodollars_and_what_is_not_given_follows_its_kind() -> None:
    models = good("public_api").models
    assert models["gpt-4o-mini*"].cached_input == 75_000
    assert models["gpt-4o-mini*"].audio_input == models["gpt-4o-mini*"].input == 150_000
    assert models["gpt-4o-mini*"].cache_write == 187_500
    assert models["gpt-4o-mini*"].cache_write_1h == 300_000
    assert models["gpt-*"].reasoning == models["gpt-*"].output == 10_000_000
    assert models["claude-*"].cache_write == 3_750_000
    assert models["picture-*"].request == 40_000_000_000
    assert next(iter(models)) == "gpt-4o-mini*"


def test_weights_that_are_not_given_follow_their_kind() -> None:
    weights = {"output": 4, "input": 0.5}
    budget = {"name": "t", "limit": "1M tokens/day", "weights": weights}
    policy = Policy.load({"budgets": [budget]}, environ={})
    assert policy.budgets[0].weights == TokenWeights(
        input=500_000,
        cached_input=500_000,
        cache_write=500_000,
        cache_write_1h=500_000,
        audio_input=500_000,
        image_input=500_000,
        output=4 * MICRO,
        reasoning=4 * MICRO,
        audio_output=4 * MICRO,
        image_output=4 * MICRO,
    )


def test_budgets_have_the_policy_s_mode_unless_they_set_their_own() -> None:
    budgets = [RPM, {"name": "own", "limit": "5/minute", "mode": "enforce"}]
    policy = Policy.load({"mode": "shadow", "budgets": budgets}, environ={})
    assert [budget.mode for budget in policy.budgets] == [Mode.SHADOW, Mode.ENFORCE]


def test_the_secret_is_not_in_a_policy_s_repr() -> None:
    assert SECRET not in repr(good("environment"))


def test_a_missing_file_is_a_problem_and_not_a_traceback(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(PolicyError) as caught:
            Policy.load(path, environ={})
        reason = "No such file or directory" if path != tmp_path else "Is a directory"
        assert str(caught.value) == f"cannot read {path}: {reason}"


def test_a_binary_file_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"budgets: \xff\xfe")
    with pytest.raises(PolicyError, match="expected text in UTF-8"):
        Policy.load(path, environ={})
    path.write_bytes(b"budgets: \x00")
    with pytest.raises(PolicyError, match="expected YAML"):
        Policy.load(path, environ={})


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"\xef\xbb\xbfbudgets: {name: rpm, limit: 60/minute}\r\n")
    assert Policy.load(path, environ={}).budgets[0].name == "rpm"


def test_a_file_too_large_to_be_a_policy_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("#" * (MAX_FILE + 1))
    with pytest.raises(PolicyError, match="expected at most"):
        Policy.load(path, environ={})


def test_yaml_text_in_place_of_a_path_points_to_load_text() -> None:
    with pytest.raises(PolicyError, match="load_text"):
        Policy.load("budgets:\n  - {name: rpm, limit: 60/minute}\n", environ={})


def test_the_types_load_neither_yaml_nor_time_zones_until_a_policy_is_loaded() -> None:
    program = (
        "import sys; before = set(sys.modules); import querybudget.policy.model; "
        "slow = {'yaml', 'zoneinfo', 'limits', 'difflib', 'ipaddress'}; "
        "print(*slow & (set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == []


def test_a_policy_loads_without_the_limits_package_which_is_slow_to_import() -> None:
    program = (
        "import sys; from querybudget.policy.model import Policy; "
        "Policy.load({'budgets': [{'name': 'rpm', 'limit': '10/2 hours'}]}); "
        "print('limits' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"False"]
