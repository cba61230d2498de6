"""The folder that a training run leaves behind."""

from __future__ import annotations

import csv
import json
import platform
import subprocess
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from stable_baselines3.common.logger import CSVOutputFormat, Logger, TensorBoardOutputFormat

from ctrl.checkpoint import newest_checkpoint
from ctrl.config import TrainConfig, parse_config, read_config
from reward_models.errors import UserError, nearest_name

_PACKAGES = (
    "ctrl", "stable_baselines3", "sb3_contrib", "gymnasium", "mujoco", "torch", "tensordict",
    "numpy", "safetensors",
)  # fmt: skip


@runtime_checkable
class RunConfig(Protocol):
    """What a run folder needs of a configuration."""

    @property
    def name_parts(self) -> tuple[str, ...]:
        """What a new folder is named after; empty ones are left out."""
        ...

    def to_yaml(self) -> str:
        """Return the configuration as YAML text."""
        ...


@dataclass(frozen=True)
class RunFolder:
    """Names of what lies in a run folder.

    ``config.yaml`` the effective configuration, ``versions.json`` packages and git hash,
    ``progress.csv`` and TensorBoard events the curves, ``checkpoints/step_*`` what ``ctrl resume``
    needs, ``final/`` the trained policy, ``best/`` the one with the best evaluated task return,
    ``opponents/step_*`` the past selves that a run played against, ``result.json`` the closing
    numbers.
    """

    path: Path

    @property
    def config_file(self) -> Path:
        """The effective configuration."""
        return self.path / "config.yaml"

    @property
    def progress_file(self) -> Path:
        """The learning curves."""
        return self.path / "progress.csv"

    @property
    def alarms_file(self) -> Path:
        """Alarms about reward terms, one JSON object a line; absent where there were none."""
        return self.path / "alarms.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def final(self) -> Path:
        """Folder of the trained policy."""
        return self.path / "final"

    @property
    def best(self) -> Path:
        """Folder of the policy with the best evaluated task return."""
        return self.path / "best"

    @property
    def opponents(self) -> Path:
        """Folder of the past selves that the run played against."""
        return self.path / "opponents"

    @property
    def result_file(self) -> Path:
        """The closing numbers."""
        return self.path / "result.json"

    @classmethod
    def create(cls, path: Path | None, config: RunConfig) -> RunFolder:
        """Make a new run folder and write the configuration and versions.

        Args:
            path: None makes a new one under ``runs/``.
            config: the effective configuration.

        Raises:
            UserError: the folder exists and is not empty, or cannot be written.
        """
        if path is None:
            path = free_name(config)
        elif path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(
                f"{path} exists and is not empty. Name another folder with --out, or continue "
                f"that run with `ctrl resume {path}`."
            )
        folder = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            folder.config_file.write_text(config.to_yaml(), encoding="utf-8")
            text = json.dumps(versions(), indent=2)
            (path / "versions.json").write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"Cannot write the run folder {path}: {error}.") from error
        return folder

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open an existing run folder.

        Raises:
            UserError: there is none, with the nearest name, or it is no run folder.
        """
        path = Path(path)
        if not path.is_dir():
            parent = path.parent
            names = [p.name for p in parent.iterdir() if p.is_dir()] if parent.is_dir() else []
            nearest = nearest_name(path.name, names)
            hint = f" Did you mean {str(parent / nearest)!r}?" if nearest else ""
            what = "is a file, not a run folder" if path.is_file() else "does not exist"
            raise UserError(f"The run folder {str(path)!r} {what}.{hint}")
        folder = cls(path)
        if not folder.config_file.is_file():
            seeds = sorted(p.name for p in path.glob("seed_*") if (p / "config.yaml").is_file())
            hint = (
                f" It holds several runs; name one, for example {path / seeds[0]}." if seeds else ""
            )
            raise UserError(f"{path} is not a run folder: it has no config.yaml.{hint}")
        return folder

    def config(self) -> TrainConfig:
        """Return the configuration the training run was started with.

        Raises:
            UserError: the folder is that of a search or of an alignment.
        """
        data = read_config(self.config_file)
        kinds = (("method", "a search"), ("blend", "an alignment"), ("backend", "a design"))
        for key, what in kinds:
            if key in data:
                raise UserError(
                    f"{self.path} is {what}, not a training run. Train on what it found: "
                    "`ctrl train --from RUN/elites/NAME` for a search, "
                    "`use: behaviour_alignment, path: RUN/reward` for an alignment, "
                    "`--reward RUN/best.py:program` for a design."
                )
        from ctrl.opponents import with_snapshots_in

        config = parse_config(data)
        return replace(config, env=with_snapshots_in(config.env, self.opponents))

    def policy_folder(self, *, best: bool = False) -> Path:
        """Return where the trained policy lies: ``final/``, else the newest checkpoint.

        Raises:
            UserError: the run has no policy yet.
        """
        if best:
            if not self.best.is_dir():
                raise UserError(
                    f"{self.path} has no best policy; it was trained without evaluation."
                )
            return self.best
        if self.final.is_dir():
            return self.final
        newest = newest_checkpoint(self.checkpoints)
        if newest is None:
            raise UserError(f"{self.path} has neither a final policy nor a checkpoint yet.")
        return newest

    def logger(self, *, resumed_at: int | None = None) -> Logger:
        """Return SB3's logger over ``progress.csv`` and TensorBoard.

        Args:
            resumed_at: environment steps of the checkpoint that training continues from; later
                rows of the interrupted run are dropped from both.
        """
        rows = [] if resumed_at is None else self._rows_until(resumed_at)
        board = TensorBoardOutputFormat(str(self.path))
        if resumed_at is not None:
            board.writer.close()
            board.writer = type(board.writer)(log_dir=str(self.path), purge_step=resumed_at + 1)
        return Logger(str(self.path), [_ProgressCsv(str(self.progress_file), rows), board])

    def _rows_until(self, steps: int) -> list[dict[str, str]]:
        if not self.progress_file.is_file():
            return []
        # A killed process may leave a torn last line: it lacks its newline or some of its cells.
        text = self.progress_file.read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines()
        rows = [row for row in csv.DictReader(lines) if None not in row.values()]
        key = "time/total_timesteps"
        return [row for row in rows if row.get(key, "").isdigit() and int(row[key]) <= steps]


class _ProgressCsv(CSVOutputFormat):
    """SB3's CSV writer, beginning with the rows of the run that is continued."""

    def __init__(self, filename: str, rows: list[dict[str, str]]) -> None:
        super().__init__(filename)
        if rows:
            self.keys = list(rows[0])
            writer = csv.DictWriter(self.file, self.keys, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            self.file.flush()


def versions() -> dict[str, Any]:
    """Return the versions that results depend on, and the git hash of the working folder."""
    found: dict[str, Any] = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    found["git"] = _git_hash()
    return found


def _git_hash() -> str | None:
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True,
            cwd=Path(__file__).parent,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def free_name(config: RunConfig) -> Path:
    """Return a folder under ``runs/`` that does not exist yet, named after the run."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    base = Path("runs") / "_".join([*(part for part in config.name_parts if part), stamp])
    path, number = base, 2
    while path.exists():
        path, number = base.with_name(f"{base.name}-{number}"), number + 1
    return path
