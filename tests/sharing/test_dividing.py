"""What a node may have is divided among its workers, and none of it is lost or given twice."""

from hypothesis import given
from hypothesis import strategies as st

from fly_orm.sharing.dividing import part, part_of_peer


@given(st.integers(1, 16).flatmap(lambda workers: st.tuples(st.just(workers), st.integers(workers, 500))))
def test_all_places_are_given_to_somebody_and_everybody_gets_one(case):
    workers, total = case
    parts = [part(total, number, workers) for number in range(workers)]
    assert sum(parts) == total
    assert min(parts) >= 1
    assert max(parts) - min(parts) <= 1
    assert parts == sorted(parts, reverse=True)


@st.composite
def divisions(draw):
    """How many places each worker has at some moment, and how many of all of them one peer may have."""
    sizes = draw(st.lists(st.integers(1, 60), min_size=1, max_size=16))
    return sizes, draw(st.integers(1, sum(sizes)))


@given(divisions())
def test_a_peer_has_no_more_than_its_share_however_the_places_are_divided(division):
    sizes, most = division
    shares = [part_of_peer(most, size, sum(sizes)) for size in sizes]
    assert all(1 <= share <= size for share, size in zip(shares, sizes, strict=True))
    assert sum(shares) <= max(most, len(sizes) + most - 1)
    assert sum(share for share in shares if share > 1) <= most
