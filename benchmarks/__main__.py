"""Run every benchmark and print its ratios: ``python -m benchmarks [--caches N] [--json]``.

Each is also a command of its own, with more to tell: ``python -m benchmarks.clear_caches``.
"""

import argparse
import json
import os
from pathlib import Path

from benchmarks import clear_caches, triage_corpus


def measure(*, caches: int, corpus: Path | None) -> dict[str, dict[str, float]]:
    """Return each benchmark's ratios, by name.

    Args:
        caches: How many caches are cleared; at least 20.
        corpus: Folder of the labelled logs; triage is left out where None.
    """
    found = {f"clear {caches} caches": clear_caches.measure(caches).ratios}
    if corpus is not None:
        found["triage labelled logs"] = triage_corpus.ratios(triage_corpus.judge(corpus))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--caches", type=int, default=1000, help="how many caches are cleared (1000)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = os.environ.get("RUNBOOK_CORPUS")
    found = measure(caches=options.caches, corpus=Path(folder) if folder else None)
    if options.json:
        print(json.dumps(found))
        return
    for benchmark, ratios in found.items():
        print(benchmark)
        for name, ratio in ratios.items():
            print(f"  {name.replace('_', ' '):44}{ratio:8.2f}")
    if not folder:
        print("triage labelled logs: left out, for RUNBOOK_CORPUS names no folder")


if __name__ == "__main__":
    main()
