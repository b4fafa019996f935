"""How soon a worker is started again that has ended."""

from fly_orm.supervising.restarts import LONGEST_PAUSE, MOST_FAILED_STARTS, SOUND_AFTER, Restarts


def test_a_worker_that_has_served_for_a_while_is_started_again_at_once():
    restarts = Restarts()
    assert [restarts.ended(lived=SOUND_AFTER, served=True) for _ in range(20)] == [0.0] * 20


def test_the_pauses_of_one_that_does_not_last_double_up_to_a_bound():
    restarts = Restarts()
    pauses = [restarts.ended(lived=1.0, served=True) for _ in range(60)]
    assert pauses[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == LONGEST_PAUSE
    assert restarts.ended(lived=SOUND_AFTER, served=True) == 0.0


def test_one_that_has_not_begun_to_serve_does_not_count_as_sound_however_long_that_took():
    restarts = Restarts()
    restarts.ended(lived=SOUND_AFTER, served=False)
    assert restarts.ended(lived=SOUND_AFTER, served=False) > 0


def test_it_is_hopeless_only_if_it_has_never_served_in_between():
    restarts = Restarts()
    for _ in range(MOST_FAILED_STARTS - 1):
        restarts.ended(lived=1.0, served=False)
    assert not restarts.is_hopeless
    restarts.ended(lived=1.0, served=True)
    for _ in range(MOST_FAILED_STARTS):
        assert not restarts.is_hopeless
        restarts.ended(lived=1.0, served=False)
    assert restarts.is_hopeless
