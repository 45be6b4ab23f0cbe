"""How triage does on real, labelled logs: class against label, first-cause hits, abstentions, false alarms.

Run: RUNBOOK_CORPUS=FOLDER .venv/bin/python -m benchmarks.triage_corpus [--verbose] [--samples]
FOLDER holds the unpacked ``logs/`` and ``manifest.tsv`` of the corpus, which is not part of the project.
With ``--samples`` the made-up logs of the triage tests are judged instead; these the project carries.
"""

import argparse
import csv
import math
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook.triage.catalogue import builtin_catalogue
from runbook.triage.classes import FailureClass
from runbook.triage.classify import ANNOUNCED_FROM, Classification, classify
from runbook.triage.logs import open_logs
from tests.runbook.triage.build import classified
from tests.runbook.triage.samples import lines_of, samples

NEAR_LINES = 3
"""A first cause counts as found within so many lines of the label."""

COUNTED_FROM = 5
"""A class with fewer logs says too little to count in a mean."""

_NO_CLAIM = frozenset({FailureClass.UNKNOWN, FailureClass.PASSING})


@dataclass(frozen=True)
class Judged:
    """One log: what the label says, and what triage says."""

    id: str
    label: FailureClass
    labelled_line: int | None
    found: Classification

    @property
    def off_by(self) -> int | None:
        """How many lines the first cause is from the label; None where one of the two names none."""
        if self.labelled_line is None or self.found.first_cause is None:
            return None
        return abs(self.found.first_cause.line - self.labelled_line)

    @property
    def near(self) -> bool:
        """Whether the first cause is close enough to the label to count as found."""
        return self.off_by is not None and self.off_by <= NEAR_LINES


def judge(folder: Path) -> list[Judged]:
    """Classify each log of the corpus in ``folder``."""
    catalogue = builtin_catalogue()
    judged = []
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            line = row["first_cause_lineno"]
            judged.append(
                Judged(
                    id=row["id"],
                    label=FailureClass(row["class"]),
                    labelled_line=int(line) if line.isdigit() else None,
                    found=classify(open_logs(str(folder / "logs" / f"{row['id']}.log")), catalogue=catalogue),
                )
            )
    return judged


def judge_samples() -> list[Judged]:
    """Classify each made-up log of the triage tests."""
    judged = []
    for sample in samples():
        lines = lines_of(sample)
        judged.append(
            Judged(
                id=sample.id,
                label=sample.label,
                labelled_line=lines.index(sample.first) + 1 if sample.first else None,
                found=classified(lines),
            )
        )
    return judged


@dataclass(frozen=True)
class Reliability:
    """How often claims of about one confidence were right: calibrated where ``hit_rate`` is within the bounds."""

    at_least: float
    claims: int
    right: int

    @property
    def hit_rate(self) -> float:
        """Right claims among all claims of this confidence."""
        return self.right / self.claims if self.claims else math.nan


def reliability(judged: Sequence[Judged]) -> list[Reliability]:
    """Return hit rates by tenths of the announced confidence; *unknown* and *passing* claim nothing."""
    table = []
    for tenth in range(round(10 * ANNOUNCED_FROM), 10):
        claims = [
            one
            for one in judged
            if one.found.failure_class not in _NO_CLAIM and int(10 * one.found.confidence) == tenth
        ]
        right = sum(one.label is one.found.failure_class for one in claims)
        table.append(Reliability(tenth / 10, len(claims), right))
    return table


@dataclass(frozen=True)
class Score:
    """Precision and recall of one class."""

    label: FailureClass
    logs: int
    claimed: int
    right: int

    @property
    def precision(self) -> float:
        """Right claims among all claims; 1 where nothing was claimed."""
        return self.right / self.claimed if self.claimed else 1.0

    @property
    def recall(self) -> float:
        """Right claims among all logs of the class."""
        return self.right / self.logs if self.logs else 1.0


def scores(judged: list[Judged]) -> list[Score]:
    """Return precision and recall per class; *unknown* counts as abstention."""
    return [
        Score(
            label=label,
            logs=sum(one.label is label for one in judged),
            claimed=sum(one.found.failure_class is label for one in judged),
            right=sum(one.label is label and one.found.failure_class is label for one in judged),
        )
        for label in FailureClass
        if label not in _NO_CLAIM
    ]


def ratios(judged: list[Judged]) -> dict[str, float]:
    """Return what the claim about triage rests on, over the classes with five logs or more."""
    counted = [score for score in scores(judged) if score.logs >= COUNTED_FROM]
    causes = [one for one in judged if one.labelled_line is not None]
    passing = [one for one in judged if one.label is FailureClass.PASSING]
    return {
        "macro_precision": _share(sum(score.precision for score in counted), counted),
        "macro_recall": _share(sum(score.recall for score in counted), counted),
        "first_cause_near_the_label": _share(sum(one.near for one in causes), causes),
        "false_alarms_on_passing_logs": _share(
            sum(one.found.failure_class not in _NO_CLAIM for one in passing), passing
        ),
    }


def _share(part: float, whole: Sequence[object]) -> float:
    return part / len(whole) if whole else math.nan


def report(judged: list[Judged], *, verbose: bool) -> None:
    """Print the tables."""
    print(f"{'class':26} {'logs':>5} {'claimed':>8} {'right':>6} {'precision':>10} {'recall':>7}")
    table = scores(judged)
    for score in table:
        print(
            f"{score.label:26} {score.logs:5} {score.claimed:8} {score.right:6} "
            f"{score.precision:10.2f} {score.recall:7.2f}"
        )
    share = ratios(judged)
    print(
        f"macro ({COUNTED_FROM} logs or more)     precision {share['macro_precision']:.3f}, "
        f"recall {share['macro_recall']:.3f}"
    )
    causes = [one for one in judged if one.labelled_line is not None]
    exact = sum(one.off_by == 0 for one in causes)
    near = sum(one.near for one in causes)
    print(
        f"first cause: exact {exact}/{len(causes)}, within {NEAR_LINES} lines {near}/{len(causes)} "
        f"({100 * share['first_cause_near_the_label']:.0f} %)"
    )
    failing = [one for one in judged if one.label not in _NO_CLAIM]
    passing = [one for one in judged if one.label is FailureClass.PASSING]
    unknown = [one for one in judged if one.label is FailureClass.UNKNOWN]
    print(
        f"abstentions (unknown or passing for a labelled failure): "
        f"{sum(one.found.failure_class in _NO_CLAIM for one in failing)}/{len(failing)}"
    )
    print(
        f"false alarms on passing logs: "
        f"{sum(one.found.failure_class not in _NO_CLAIM for one in passing)}/{len(passing)}; "
        f"classes claimed for unknown ones: "
        f"{sum(one.found.failure_class not in _NO_CLAIM for one in unknown)}/{len(unknown)}"
    )
    mixed = Counter(
        (one.label.value, one.found.failure_class.value)
        for one in judged
        if one.label is not one.found.failure_class
    )
    for (label, found), count in mixed.most_common():
        print(f"  {count} x {label} taken for {found}")
    print("confidence   claims  right")
    for row in reliability(judged):
        rate = f"{100 * row.hit_rate:4.0f} %" if row.claims else "     -"
        print(f"{row.at_least:.1f} and more {row.claims:6} {rate}")
    if verbose:
        _each(judged)


def _each(judged: list[Judged]) -> None:
    for one in judged:
        off = one.off_by
        if one.label is one.found.failure_class and (off is None or off <= NEAR_LINES):
            continue
        cause = one.found.first_cause
        print(
            f"{one.id} {one.label} -> {one.found.failure_class} {one.found.confidence:.2f}; "
            f"line {one.labelled_line} -> {cause.line if cause else None}: {cause.text[:140] if cause else ''}"
        )


def main() -> int:
    """Print the tables for the corpus in ``RUNBOOK_CORPUS``; exit 2 where it is unset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="list each log that differs from its label")
    parser.add_argument("--samples", action="store_true", help="judge the made-up logs instead of the corpus")
    arguments = parser.parse_args()
    if arguments.samples:
        report(judge_samples(), verbose=arguments.verbose)
        return 0
    folder = os.environ.get("RUNBOOK_CORPUS")
    if not folder:
        print("RUNBOOK_CORPUS is unset: it names the folder with the unpacked logs.", file=sys.stderr)
        return 2
    report(judge(Path(folder)), verbose=arguments.verbose)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
