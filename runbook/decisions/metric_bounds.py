"""What a service's metrics say, and whether that is within the policy's bounds."""

import math
from collections.abc import Sequence
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

from runbook.policy.estate import MetricThreshold

MOST_CHARACTERS = 4_000_000
"""Of one answer of a metrics endpoint; a longer one is not read."""


def read_metrics(text: str, thresholds: Sequence[MetricThreshold]) -> tuple[float | None, ...]:
    """Take the thresholds' figures out of Prometheus' text format: for each the sum of the samples that fit.

    Args:
        text: What a metrics endpoint answered.
        thresholds: Which samples are wanted.

    Returns:
        For each threshold its figure. None where the text is no such format, or does not know the metric, or has no
        number for it. A metric that is known and has no sample with the labels is 0: a labelled counter has none
        before its first event.
    """
    found: list[list[float]] = [[] for _ in thresholds]
    known: set[str] = set()
    if len(text) <= MOST_CHARACTERS:
        try:
            for family in text_string_to_metric_families(text):
                # The parser takes a counter's suffix off; without samples only this tells that there is one.
                known.add(f"{family.name}_total" if family.type == "counter" else family.name)
                for sample in family.samples:
                    known.add(sample.name)
                    for place, threshold in enumerate(thresholds):
                        if (
                            sample.name == threshold.name
                            and threshold.labels.items() <= sample.labels.items()
                        ):
                            found[place].append(float(sample.value))
        except (ValueError, IndexError, KeyError):  # what the parser raises on text of another kind
            return tuple(None for _ in thresholds)
    return tuple(
        _number(sum(values)) if threshold.name in known else None
        for threshold, values in zip(thresholds, found, strict=True)
    )


def _number(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None


def breach(threshold: MetricThreshold, figure: float, unit: str = "") -> str:
    """Say how a figure breaks the policy's bound; empty where it keeps it.

    Args:
        threshold: The bound.
        figure: What was found.
        unit: Written after the figure.
    """
    if threshold.at_most is not None and figure > threshold.at_most:
        return f"{threshold.name} is {figure:g}{unit}, at most {threshold.at_most:g} is allowed"
    if threshold.at_least is not None and figure < threshold.at_least:
        return f"{threshold.name} is {figure:g}{unit}, at least {threshold.at_least:g} is wanted"
    return ""


def increase(figures: Sequence[float | None]) -> float:
    """Return how much a counter grew, whatever of it is not known.

    Args:
        figures: What it said, oldest first.
    """
    known = [figure for figure in figures if figure is not None]
    # A counter that fell was started anew at zero.
    return sum(later - earlier if later >= earlier else later for earlier, later in pairwise(known))
