"""Many streams at once, a few of them badly behaved: the short form of what crowd.py does for a minute with 500."""

import pytest

from crowd import measure


@pytest.mark.timeout(150)
def test_a_crowd_of_60_gets_right_answers_and_leaves_nothing_behind():
    seen = measure(streams=60, seconds=8, distinct=40, workers=2, warm_up_s=4)
    assert not seen["problems"]
    kinds = {kind.split(":")[0] for kind in seen["counts"]}
    assert kinds == {"good", "cancelled", "slow", "bad", "cut off"}, "nobody behaved so: a longer run would"
    assert seen["counts"]["good: right"] > 60 and seen["probes"] > 10
