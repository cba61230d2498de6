"""Run every benchmark and record its JSON beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the scripts one after the other; each prints its ratios."""
    for name in ("stepping", "rewards"):
        print(f"== {name}", flush=True)
        command = [
            sys.executable,
            str(HERE / f"{name}.py"),
            "--json",
            str(HERE / f"{name}.json"),
        ]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
