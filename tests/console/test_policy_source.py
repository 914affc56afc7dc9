from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from querybudget.console.policy_source import policy_source, redacted
from querybudget.policy import presets


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("secret: hunter2hunter2", "secret: ..."),
        ('secret: "hunter2 hunter2"  # ours', "secret: ...  # ours"),
        ("secret: ${QUERYBUDGET_SECRET}", "secret: ${QUERYBUDGET_SECRET}"),
        ("secret: ${A:-hunter2hunter2}", "secret: ..."),
        (
            "embedding: {remote: {api_key: hunter2, model: m}}",
            "embedding: {remote: {api_key: ..., model: m}}",
        ),
        ("embedding:\n  api-key: hunter2\n  model: m", "embedding:\n  api-key: ...\n  model: m"),
        ("store: redis://user:hunter2@host:6379/0", "store: redis://host:6379/0"),
        (
            "store: {url: 'redis://:hunter2@h/0', timeout: 60s}",
            "store: {url: redis://h/0, timeout: 60s}",
        ),
        (
            "webhooks:\n  - url: https://hooks.example/T0/hunter2",
            "webhooks:\n  - url: https://hooks.example/...",
        ),
        ("# secret: hunter2", "# secret: ..."),
        ("a: 1  # api_key = hunter2", "a: 1  # api_key = ..."),
        ("# was redis://u:hunter2@h/0", "# was redis://h/0"),
        ("secret: |\n  hunter2\n  hunter2\nversion: 1", "secret: ...\nversion: 1"),
        ("token: [hunter2, hunter2]", "token: [..., ...]"),
        ("name: Zoë 😀\nsecret: hunter2 # é", "name: Zoë 😀\nsecret: ... # é"),
        ("tokens: 100", "tokens: 100"),
        ("estimate: {bytes_per_token: 4}", "estimate: {bytes_per_token: 4}"),
        ("? secret\n: hunter2", "? secret\n: ..."),
        ("x: &a {secret: hunter2}\ny: *a\nz: fine", "x: &a {secret: ...}\ny: *a\nz: fine"),
        ("[a, {b: c}]: d\nsecret: hunter2", "[a, {b: c}]: d\nsecret: ..."),
    ],
)
def test_secrets_are_not_shown_and_all_else_is(written: str, shown: str) -> None:
    assert redacted(written) == shown
    assert "hunter2" not in shown


@pytest.mark.parametrize("name", presets.names())
def test_the_presets_have_nothing_to_hide_but_what_names_a_variable(name: str) -> None:
    assert policy_source(f"preset:{name}") == presets.preset_yaml(name)


@pytest.mark.parametrize("text", ["a: [", "a: 1\n b: 2", "secret: 'x", "\t- a", "[" * 3_000])
def test_what_is_no_yaml_is_not_shown_at_all(text: str, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    assert policy_source(str(file)) == ""


def test_a_policy_that_was_made_in_code_has_no_source() -> None:
    assert policy_source("<mapping>") == ""


SECRET = "hunter2hunter2"
TREES = st.recursive(
    st.sampled_from(["plain", "redis://host/0", 5, True, None]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    ),
    max_leaves=10,
)
HIDDEN = st.sampled_from(["secret", "api_key", "token", "password"])


@settings(max_examples=25)
@given(TREES, TREES, HIDDEN, st.booleans())
def test_a_secret_is_found_wherever_it_stands(
    around: object, beside: object, key: str, flow: bool
) -> None:
    tree = {"a": around, "b": {key: [SECRET, {"deep": SECRET}], "c": beside}, "d": around}
    text = yaml.safe_dump(tree, default_flow_style=flow)
    shown = redacted(text)
    assert SECRET not in shown
    expected = {**tree, "b": {**tree["b"], key: ["...", {"deep": "..."}]}}  # type: ignore[dict-item]
    assert yaml.safe_load(shown) == expected
