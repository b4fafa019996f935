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


@given(st.integers(1, 500), st.integers(1, 16))
def test_a_peer_has_a_place_in_each_worker(most, workers):
    assert 1 <= part_of_peer(most, workers) <= most
    assert most <= part_of_peer(most, workers) * workers < most + workers
