"""The schema for editors takes what the loader takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from querybudget.policy.schema import json_schema

HERE = Path(__file__).parent
GOOD = sorted((HERE / "good").glob("*.yaml"))
# What the schema can see by itself: shapes, words, kinds, ranges.
SHAPES = (
    "body_with_unknown_key",
    "capability_is_a_list",
    "capability_is_truth",
    "capability_with_a_number_as_example",
    "capability_with_unknown_key",
    "cors_is_truth",
    "embedding_is_a_number",
    "embedding_of_no_dimensions",
    "embedding_of_two",
    "embedding_unknown",
    "embedding_without_codebook",
    "embedding_without_function",
    "embedding_without_path",
    "embedding_without_url",
    "empty",
    "estimate_is_negative",
    "exempt_is_a_mapping",
    "hold_without_unit",
    "key_from_a_misspelt_place",
    "key_from_a_number",
    "limit_is_a_list",
    "limit_is_a_word",
    "limit_is_negative",
    "limit_is_nothing",
    "limit_is_truth",
    "limit_of_several",
    "match_is_a_word",
    "match_of_stream_yes",
    "max_identities_is_a_fraction",
    "max_identities_of_zero",
    "missing_budgets",
    "missing_limit",
    "missing_misspelt",
    "missing_name",
    "missing_with_a_misspelt_resolver",
    "model_without_output",
    "not_a_mapping",
    "prefix_too_long",
    "price_is_a_bare_number",
    "price_of_unknown_curve",
    "price_of_unknown_kind",
    "price_with_unknown_key",
    "route_of_an_unknown_dialect",
    "route_without_path",
    "score_is_a_word",
    "secret_is_a_number",
    "server_is_a_mapping",
    "server_misspelt",
    "streams_is_a_word",
    "streams_misspelt",
    "then_holds_a_mapping",
    "then_is_a_number",
    "then_is_an_unknown_word",
    "then_with_unknown_key",
    "then_with_unknown_word",
    "tier_of_unknown_source",
    "tier_without_when",
    "tiers_are_a_list",
    "two_resolvers_in_one",
    "unknown_disclosure",
    "unknown_draft",
    "unknown_key",
    "unknown_key_in_a_budget",
    "unknown_key_like_no_other",
    "unknown_mode",
    "unknown_of_another_word",
    "unknown_resolver",
    "unknown_store_error",
    "unknown_unpriced",
    "unknown_window",
    "user_with_a_key",
    "version_2",
)


def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema())


def as_editors_read(path: Path) -> Any:
    text = path.read_text("utf-8").replace("ietf: off", "ietf: 'off'").replace(" yes}", " 'yes'}")
    return yaml.load(text, Loader=yaml.SafeLoader)


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_policies_are_valid(path: Path) -> None:
    validator().validate(as_editors_read(path))


@pytest.mark.parametrize("name", SHAPES)
def test_bad_shapes_are_not(name: str) -> None:
    assert not validator().is_valid(as_editors_read(HERE / "bad" / f"{name}.yaml"))


def properties(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
        for part in schema.values():
            yield from properties(part)


def test_every_key_is_described_where_it_stands_or_where_it_points() -> None:
    schema = json_schema()
    found = list(properties(schema))
    assert len(found) > 70
    for key, property_ in found:
        name = property_.get("$ref", "").removeprefix("#/$defs/")
        assert "description" in property_ or "description" in schema["$defs"].get(name, {}), key


def test_keys_without_default_are_required() -> None:
    schema = json_schema()
    required = {
        name: each["required"] for name, each in schema["$defs"].items() if "required" in each
    }
    assert schema["required"] == ["budgets"]
    assert required["budget"] == ["name", "limit"]
    assert required["model"] == ["input", "output"]
