"""The benchmark of deliveries at a small size: what does not depend on the size holds there already."""

import pytest

from benchmarks.deliveries import measure, payload


def test_no_delivery_is_lost_and_each_is_acknowledged() -> None:
    result = measure(rate=50, seconds=1)
    assert (result["sent"], result["not_acknowledged"], result["lost"]) == (50, 0, 0)
    assert 0 < result["p50_ms"] <= result["p99_ms"]


@pytest.mark.parametrize("number", [0, 1, 8_999])
def test_payloads_are_of_the_size_that_github_sends(number: int) -> None:
    assert 10_000 < len(payload(number)) < 40_000
