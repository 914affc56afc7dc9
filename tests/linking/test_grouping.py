"""What is linked and what never is, on made populations."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from querybudget.coverage.trace import BIN, MINUTE
from querybudget.linking.grouping import Graph
from querybudget.linking.kinds import CAP, ENOUGH, LEAST, TIES, Kind, acts
from querybudget.linking.timing import HOUR
from tests.linking.made import DAY, DECAY, NOW, SOLD, World

RARE = 999_999
LAST = NOW * MINUTE // BIN


def schedule(world: World, hours: int = 60) -> list[int]:
    """One bin in most hours, at random: what one scheduler does with all its accounts."""
    return [LAST - HOUR * hour + world.draw.randrange(HOUR) for hour in range(1, hours)]


# -- Campaigns -----------------------------------------------------------------------------------


def test_a_campaign_with_a_template_of_its_own_is_linked() -> None:
    world = World()
    for _ in range(300):
        world.sweeper(template=RARE)
    precision, recall, wrong = world.judged()
    assert (precision >= 0.99, recall >= 0.9, wrong) == (True, True, 0)
    assert len({link.group for link in world.links()}) == 1


def test_a_campaign_that_hides_among_the_users_of_a_client_takes_hardly_any_with_it() -> None:
    world = World(established=1_000)
    for _ in range(15):
        world.honest(established=True, template=RARE)
    for _ in range(15):
        world.honest(template=RARE)
    for _ in range(300):
        world.sweeper(template=RARE)
    precision, recall, wrong = world.judged()
    assert (precision >= 0.99, recall >= 0.5, wrong <= 3) == (True, True, True)


def test_a_campaign_that_pays_with_one_card_is_linked() -> None:
    world = World()
    for _ in range(50):
        world.sweeper(marks=(RARE,))
    assert world.judged() >= (0.99, 0.8, 0)


def test_a_synchronised_campaign_is_linked_by_timing_and_what_it_shares() -> None:
    world = World()
    bins = schedule(world)
    for _ in range(40):
        world.sweeper(template=RARE, bins=bins, tail=0)
    precision, recall, wrong = world.judged()
    assert (precision, recall, wrong) == (1.0, 1.0, 0)
    assert {kind for kind, _ in world.links()[0].reasons} >= {"template", "timing"}


def test_an_account_that_replaces_a_slowed_one_joins_its_group() -> None:
    world = World()
    for number in range(4):
        seen = NOW - (3 - number) * DAY
        world.sweeper(template=RARE, began=seen - DAY + 10, slowed=seen - 20, seen=seen, tail=0)
    precision, recall, _ = world.judged()
    assert (precision, recall) == (1.0, 1.0)
    assert {kind for kind, _ in world.links()[0].reasons} == {"displacement", "template"}


def test_an_account_that_goes_on_with_the_topic_of_a_slowed_one_joins_it() -> None:
    world = World(newcomers=20)
    topic = list(range(SOLD + 500, SOLD + 560))
    for number in range(3):
        seen = NOW - 3 * DAY + number * DAY
        cells = world.draw.sample(topic, 40)
        world.sweeper(cells=cells, began=seen - DAY + 10, slowed=seen - 20, seen=seen, tail=0)
    precision, recall, _ = world.judged()
    assert (precision, recall) == (1.0, 1.0)


def test_accounts_that_share_out_the_ground_under_one_template_are_linked() -> None:
    world = World()
    for number in range(20):
        own = SOLD + number * 97
        world.sweeper(template=RARE, cells=[*range(own, own + 20)], tail=0)
    precision, recall, wrong = world.judged()
    assert (precision, recall, wrong) == (1.0, 1.0, 0)
    assert {kind for kind, _ in world.links()[0].reasons} == {"ground", "template"}


# -- Guards --------------------------------------------------------------------------------------


def test_users_of_an_unusual_application_who_are_slowed_are_not_linked() -> None:
    """They meet on its ground, and one of many who stop is soon followed by somebody."""
    world, own = World(), list(range(SOLD + 500, SOLD + 560))
    for number in range(12):
        seen = NOW - (12 - number) * DAY // 4
        followed = DAY // 4 - 10 if number == 7 else DAY // 2 + 60
        world.honest(
            template=RARE,
            cells=world.draw.sample(own, 40),
            tail=1,
            began=seen - followed,
            slowed=seen - 20,
            seen=seen,
        )
    assert world.links() == []


def honest_alone() -> World:
    return World(established=1_000, newcomers=1_000)


def test_honest_accounts_alone_are_not_linked() -> None:
    assert honest_alone().links() == []


def test_style_alone_links_nobody() -> None:
    world = World()
    for _ in range(300):
        world.sweeper()
    assert world.links() == []


def test_a_university_behind_one_address_is_no_group() -> None:
    world = World()
    for number in range(400):
        world.honest(established=number < 200, marks=(RARE,))
    assert world.links() == []


def test_a_class_that_meets_behind_one_new_address_is_no_group() -> None:
    world = World()
    lesson = [LAST - day * DAY * MINUTE // BIN + at for day in (1, 2) for at in range(8)]
    for _ in range(30):
        world.honest(marks=(RARE,), template=RARE, bins=lesson)
    assert world.links() == []


def test_a_carriers_network_with_many_newcomers_is_no_group() -> None:
    world = World()
    for number in range(600):
        world.honest(established=number < 50, marks=(RARE,), template=world.own_template())
    assert world.links() == []


def test_the_users_of_a_popular_client_are_no_group() -> None:
    world = World()
    for number in range(800):
        world.honest(established=number < 300, template=RARE)
    assert world.links() == []


def test_a_gateway_whose_users_all_look_suspect_is_no_group_if_some_of_them_are_established() -> (
    None
):
    world = World()
    for number in range(40):
        world.honest(established=number < 8, marks=(RARE,), tail=0 if number < 8 else 3)
    assert world.links() == []


def test_a_burst_of_newcomers_with_a_new_client_on_its_release_day_is_no_group() -> None:
    world = World()
    start = NOW - DAY
    for _ in range(1_000):
        began = start + world.draw.randrange(600)
        bins = [(began + minute) * MINUTE // BIN for minute in range(60)]
        world.honest(template=RARE, began=began, bins=bins)
    assert world.links() == []


def test_applications_of_one_firm_that_run_by_the_clock_are_no_group() -> None:
    world = World()
    hourly = [LAST - HOUR * hour for hour in range(60)]
    for number in range(12):
        cells = [*range(9 * number, 9 * number + 9)]
        world.honest(marks=(RARE,), template=RARE, bins=hourly, cells=cells)
    assert world.links() == []


def test_an_office_that_works_the_same_hours_is_no_group() -> None:
    world = World()
    hours = [LAST - HOUR * hour - at for hour in (*range(8), *range(24, 32)) for at in range(HOUR)]
    for _ in range(30):
        bins = [at for at in hours if world.draw.random() < 0.7]
        world.honest(marks=(RARE,), template=RARE, bins=bins)
    assert world.links() == []


def test_a_newcomer_just_after_a_slowed_caller_is_no_replacement_where_many_begin() -> None:
    world = World()
    for number in range(200):
        seen = NOW - DAY + number
        world.honest(template=RARE, began=seen - 30, slowed=seen - 5, seen=seen)
    assert world.links() == []


def test_a_deployment_without_established_callers_links_nobody_by_what_they_share() -> None:
    world = World(established=0, newcomers=100)
    for _ in range(100):
        world.honest(template=RARE, marks=(RARE,))
    assert world.links() == []


# -- What holds for all --------------------------------------------------------------------------


def test_every_link_has_two_kinds_of_evidence_of_which_one_is_behaviour() -> None:
    world = World()
    for _ in range(200):
        world.sweeper(template=RARE, marks=(RARE,))
    found = world.links()
    assert found
    for link in found:
        kinds = {Kind(kind) for kind, weight in link.reasons if weight >= LEAST}
        assert len(kinds) >= 2
        assert kinds - TIES
        assert sum(weight for _, weight in link.reasons) >= ENOUGH - 0.1
        assert max(weight for _, weight in link.reasons) <= CAP


@pytest.mark.parametrize("kind", list(Kind))
def test_no_kind_acts_alone(kind: Kind) -> None:
    assert not acts({kind: 100.0})


def test_ties_alone_do_not_act() -> None:
    assert not acts(dict.fromkeys(TIES, CAP))


def test_a_group_that_is_too_large_is_cut() -> None:
    world = World()
    for _ in range(200):
        world.sweeper(template=RARE)
    sizes = Counter(link.group for link in world.links(largest=50))
    assert max(sizes.values()) == 50
    assert len(sizes) >= 3


def test_groups_keep_their_names_while_they_grow() -> None:
    world = World()
    for _ in range(100):
        world.sweeper(template=RARE)
    before = {link.account: link.group for link in world.links()}
    for _ in range(100):
        world.sweeper(template=RARE)
    after = {link.account: link.group for link in world.links(present=before)}
    assert set(after.values()) == set(before.values())
    assert len(after) > len(before)


def test_evidence_of_accounts_that_call_no_more_decays() -> None:
    world = World()
    for _ in range(100):
        world.sweeper(template=RARE, seen=NOW - 28 * DAY)
    assert world.links() == []


links_drawn = st.integers(2, 40).flatmap(
    lambda size: st.tuples(
        st.just(size),
        st.sets(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), min_size=1),
    )
)


@given(links_drawn)
def test_groups_are_what_links_connect(drawn: tuple[int, set[tuple[int, int]]]) -> None:
    size, joined = drawn
    graph = Graph(World(established=0, newcomers=size).members, NOW, DECAY)
    for one, other in joined:
        graph.join(one, other, {Kind.TIMING: CAP})
    ones, others = zip(*joined, strict=True)
    edges = coo_array((np.ones(len(joined)), (ones, others)), (size, size))
    _, labels = connected_components(edges, directed=False)
    expected: dict[int, set[int]] = defaultdict(set)
    for number in {*ones, *others}:
        expected[labels[number]].add(number)
    found = sorted(sorted(group) for group in graph.groups())
    assert found == sorted(sorted(group) for group in expected.values())
