"""One account's traffic in three kinds of window, and the map's places."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from querybudget.embedding.codebook import Codebook
from querybudget.report.facts import MOST_BINS, Bins
from querybudget.report.layout import BLOCK, SIDE, layout
from querybudget.report.store_report import cells_of
from querybudget.report.window_uses import uses
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

MINUTE = 60 * SECOND
QUOTA = Quota("rpm", Unit.REQUESTS, 2 * MICRO, MINUTE, Algorithm.SLIDING, 2 * MICRO)


def test_two_at_the_end_of_a_minute_and_two_in_the_next_fit_only_a_calendar() -> None:
    calls = [(MINUTE - SECOND, MICRO), (MINUTE - SECOND + 1, MICRO)]
    calls += [(MINUTE + SECOND, MICRO), (MINUTE + SECOND + 1, MICRO)]
    refused = {one.name: len(one.refused) for one in uses(QUOTA, calls)}
    assert refused == {"sliding": 2, "gcra": 2, "calendar": 0}


@given(st.lists(st.integers(0, 10 * MINUTE), min_size=1, max_size=40))
def test_no_window_shows_more_than_its_limit(moments: list[int]) -> None:
    for one in uses(QUOTA, [(at, MICRO) for at in sorted(moments)]):
        assert max(one.used) <= one.limit
        assert len(one.times) == len(one.used)


def test_bins_widen_and_keep_their_sum() -> None:
    bins = Bins()
    for at in range(10_000):
        bins.add("rpm", at * MINUTE, 1)
    assert sum(bins.amounts["rpm"].values()) == 10_000
    assert len(bins.amounts["rpm"]) <= MOST_BINS


def test_a_map_has_a_place_for_each_cell_in_the_block_of_its_coarse_cell() -> None:
    codebook = Codebook.load().keyed(b"a key of sixteen")
    places = layout(codebook)
    assert len({tuple(place) for place in places.tolist()}) == SIDE * SIDE
    for numbers in codebook.fine_numbers:
        assert len({tuple(place) for place in (places[numbers] // BLOCK).tolist()}) == 1
    assert np.array_equal(places, layout(codebook))


def test_a_bit_of_a_profile_is_two_cells() -> None:
    bitmap = bytearray(256)
    bitmap[1] = 0b10
    assert cells_of(bytes(bitmap)) == [18, 19]
