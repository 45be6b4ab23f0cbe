"""Run every benchmark and print its ratios: ``python -m benchmarks [--caches N] [--mebibytes N] [--runs N]
[--incidents N] [--services N] [--json]``.

Each is also a command of its own, with more to tell: ``python -m benchmarks.clear_caches``.
"""

import argparse
import json
import os
from pathlib import Path

from benchmarks import (
    clear_caches,
    deliveries,
    flow_start,
    ledger,
    log_scan,
    rollback_set,
    triage_corpus,
    webhook_to_triage,
)
from integration.kubernetes.control_plane import SETUP


def measure(
    *, caches: int, mebibytes: int, runs: int, incidents: int, services: int, corpus: Path | None
) -> dict[str, dict[str, float]]:
    """Return each benchmark's ratios, by name.

    Args:
        caches: How many caches are cleared; at least 20.
        mebibytes: Size of the log that is scanned.
        runs: Flow runs that are started under each worker, on a real Prefect server, and failed runs that a webhook
            tells; 0 leaves out these and the gateway.
        incidents: How many the longer of two ledgers has had; at least 10, and 0 leaves the ledger out.
        services: How many are rolled back on a real Kubernetes API server; 0 leaves that out.
        corpus: Folder of the labelled logs; triage is left out where None.
    """
    # First of all: it measures by how much this process grows.
    scanned = log_scan.measure_made_up(mebibytes)
    found = {
        f"scan a log of {mebibytes} MiB": {
            "throughput_to_grep": scanned["ratio"],
            "mebibytes_above_before": scanned["memory_mib"],
        },
        f"clear {caches} caches": clear_caches.measure(caches).ratios,
    }
    if incidents:
        asked = ledger.measure(incidents=incidents, rounds=50)
        found[f"ask a ledger of {incidents} incidents"] = ledger.ratios(asked)
    if runs:
        found["take 150 deliveries a second"] = deliveries.measure(rate=150, seconds=60)
        found["start flow runs"] = flow_start.ratios(flow_start.measure(runs))
        found["triage what a webhook tells"] = webhook_to_triage.ratios(webhook_to_triage.measure(runs))
    if services:
        found[f"roll {services} services back"] = rollback_set.measure(services).ratios
    if corpus is not None:
        found["triage labelled logs"] = triage_corpus.ratios(triage_corpus.judge(corpus))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--caches", type=int, default=1000, help="how many caches are cleared (1000)")
    parser.add_argument("--mebibytes", type=int, default=256, help="size of the log that is scanned (256)")
    parser.add_argument("--runs", type=int, default=5, help="flow runs under each worker; 0 for none (5)")
    parser.add_argument(
        "--incidents", type=int, default=100_000, help="of the longer ledger; 0 for none (100000)"
    )
    parser.add_argument(
        "--services", type=int, default=50, help="that are rolled back on a real cluster; 0 for none (50)"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = os.environ.get("RUNBOOK_CORPUS")
    built = rollback_set.is_built()
    found = measure(
        caches=options.caches,
        mebibytes=options.mebibytes,
        runs=options.runs,
        incidents=options.incidents,
        services=options.services if built else 0,
        corpus=Path(folder) if folder else None,
    )
    if options.json:
        print(json.dumps(found))
        return
    for benchmark, ratios in found.items():
        print(benchmark)
        for name, ratio in ratios.items():
            print(f"  {name.replace('_', ' '):44}{ratio:8.2f}")
    if options.services and not built:
        print(
            f"roll {options.services} services back: left out, for no Kubernetes is built here; run: {SETUP}"
        )
    if not folder:
        print("triage labelled logs: left out, for RUNBOOK_CORPUS names no folder")


if __name__ == "__main__":
    main()
