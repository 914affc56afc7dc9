"""The pictures of the pages show what the code does now, and what the results say."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[1] / "docs" / "images"


@pytest.mark.parametrize("name", ["sits", "reserve", "way", "windows"])
def test_a_diagram_is_what_its_script_draws(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where this fails: python docs/images/make_diagrams.py. The chart of strain embeds 200 prompts:
    # that takes too long here.
    monkeypatch.syspath_prepend(IMAGES)
    draw = importlib.import_module("make_diagrams").DIAGRAMS[name]
    assert (IMAGES / f"{name}.svg").read_text() == draw()


def test_the_picture_of_sweeps_is_drawn_from_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where this fails: python docs/images/make_sweeps_svg.py
    monkeypatch.syspath_prepend(IMAGES)
    assert (IMAGES / "sweeps.svg").read_text() == importlib.import_module("make_sweeps_svg").draw()


def test_the_picture_of_campaigns_is_drawn_from_the_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Where this fails: python docs/images/make_campaign_svg.py
    monkeypatch.syspath_prepend(IMAGES)
    drawn = importlib.import_module("make_campaign_svg").draw()
    assert (IMAGES / "campaign.svg").read_text() == drawn
