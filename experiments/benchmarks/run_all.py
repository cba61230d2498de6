"""Run every benchmark and record it under ``experiments/results/benchmarks``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "benchmarks"


def main() -> None:
    """Run the scripts one after the other; each prints its ratios."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in ("stepping", "rewards"):
        print(f"== {name}", flush=True)
        command = [
            sys.executable,
            str(HERE / f"{name}.py"),
            "--json",
            str(RESULTS / f"{name}.json"),
        ]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
