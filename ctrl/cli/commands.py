"""One function per command; each returns an exit code and the document for ``--json``."""

from __future__ import annotations

import argparse
from typing import Any

from ctrl.cli.settings import merged
from ctrl.config import parse_config
from reward_models.errors import UserError

Outcome = tuple[int, dict[str, Any]]


def train_command(options: argparse.Namespace) -> Outcome:
    """Train one run, or one per seed."""
    from ctrl.finetune import with_start_defaults
    from ctrl.seeds import parse_seeds, train_seeds
    from ctrl.training import train

    config = parse_config(with_start_defaults(train_data(options)))
    bar = False if options.quiet else None
    if options.seeds is None:
        result = train(config, out=options.out, progress=bar)
        _report(result.as_dict())
        return 0 if result.finished else 130, result.as_dict()
    document = train_seeds(
        config, parse_seeds(options.seeds), out=options.out, processes=options.processes,
        quiet=options.quiet,
    )  # fmt: skip
    for run in document["runs"]:
        _report(run)
    print(f"Compare them: ctrl plot {document['run_folder']}")
    return 0, document


def train_data(options: argparse.Namespace) -> dict[str, Any]:
    """Return the plain data of the configuration that the options describe."""
    data = merged(options, named={"env": "id", "algo": "name"}, plain=("steps", "seed"))
    if options.start_from is not None:
        data["start_from"] = options.start_from
    return data


def resume_command(options: argparse.Namespace) -> Outcome:
    """Continue a training run, a search, an alignment or a design."""
    from ctrl.cli.align_commands import resume_align_command
    from ctrl.cli.design_commands import resume_design_command
    from ctrl.cli.search_commands import resume_search_command
    from ctrl.config import read_config
    from ctrl.run_folder import RunFolder
    from ctrl.training import resume

    settings = read_config(RunFolder.open(options.run_folder).config_file)
    if "backend" in settings:
        return resume_design_command(options)
    if options.rounds is not None:
        raise UserError(f"--rounds is for designs; {options.run_folder} is none.")
    if "method" in settings:
        return resume_search_command(options)
    if "blend" in settings:
        return resume_align_command(options)
    kinds = {"budget": "searches", "ray": "searches", "processes": "searches"}
    for name, kind in {**kinds, "iterations": "alignments"}.items():
        if getattr(options, name) is not None:
            raise UserError(f"--{name} is for {kind}; {options.run_folder} is a training run.")
    result = resume(
        options.run_folder, steps=options.steps, progress=False if options.quiet else None,
        trust_code=options.trust_code,
    )  # fmt: skip
    _report(result.as_dict())
    return 0 if result.finished else 130, result.as_dict()


def eval_command(options: argparse.Namespace) -> Outcome:
    """Evaluate a policy."""
    from ctrl.checkpoint import refuse_pickles
    from ctrl.evaluation import evaluate_run
    from ctrl.run_folder import RunFolder

    if options.run_folder.is_file():
        refuse_pickles(options.run_folder)
    if options.episodes < 1:
        raise UserError(f"--episodes must be at least 1, got {options.episodes}.")
    found = evaluate_run(
        RunFolder.open(options.run_folder), episodes=options.episodes, seed=options.seed,
        best=options.best, deterministic=not options.stochastic, horizon=options.horizon,
        video=options.video, trust_code=options.trust_code,
    )  # fmt: skip
    low, high = found["task_return_interval"]
    print(
        f"task return {found['task_return_mean']:.2f} "
        f"(95 % interval {low:.2f} to {high:.2f}, {found['episodes']} episodes, "
        f"mean length {found['length_mean']:.0f})"
    )
    if found["success_rate"] is not None:
        print(f"success rate {found['success_rate']:.0%}")
    if options.horizon is not None:
        low, high = found["horizon_return_interval"]
        print(
            f"return of exactly {options.horizon} steps {found['horizon_return_mean']:.2f} "
            f"(95 % interval {low:.2f} to {high:.2f}, {found['horizon_ends_mean']:.1f} ends each)"
        )
    if "video" in found:
        print(f"video {found['video']}")
    return 0, found


def plot_command(options: argparse.Namespace) -> Outcome:
    """Draw learning curves and print the comparison table."""
    from ctrl.plot import plot_runs
    from ctrl.tables import summary_table

    result = plot_runs(options.runs, out=options.out, metric=options.metric)
    print(summary_table(result.groups))
    for note in result.notes:
        print(f"Note: {note}")
    print(f"\n{result.path}")
    return 0, {"run_folders": [str(path) for path in options.runs], **result.as_dict()}


def ledger_command(options: argparse.Namespace) -> Outcome:
    """Print one episode term by term."""
    from ctrl.ledger import episode_ledger
    from ctrl.run_folder import RunFolder
    from ctrl.tables import ledger_table, write_csv

    ledger = episode_ledger(
        RunFolder.open(options.run_folder), episode=options.episode, seed=options.seed,
        trust_code=options.trust_code,
    )  # fmt: skip
    print(ledger_table(ledger.rows, max_rows=options.rows))
    print(f"task return {ledger.task_return:.4g}, shaped return {ledger.shaped_return:.4g}")
    document = ledger.as_dict()
    if options.csv is not None:
        write_csv(ledger.rows, options.csv)
        print(f"{options.csv}")
        document["csv"] = str(options.csv)
    if options.png is not None:
        from ctrl.pictures.ledger import draw_ledger
        from ctrl.pictures.style import save_png

        title = f"{options.run_folder}, episode {options.episode} of seed {options.seed}"
        print(f"{save_png(draw_ledger(ledger.rows, title=title), options.png)}")
        document["png"] = str(options.png)
    return 0, document


def list_command(options: argparse.Namespace) -> Outcome:
    """List what can be named."""
    if options.what == "rewards":
        from reward_models.registry import REWARDS

        found = {name: listed.summary for name, listed in REWARDS.items()}
    elif options.what == "envs":
        from ctrl.cli.environment_commands import list_environments

        return list_environments()
    elif options.what == "objectives":
        from ctrl.objectives.registry import OBJECTIVES

        found = {name: listed.summary for name, listed in OBJECTIVES.items()}
    else:
        from ctrl.llm.algorithms import LANGUAGE_ALGORITHMS
        from ctrl.sb3.algorithms import ALGORITHMS

        found = {name: algorithm.path for name, algorithm in ALGORITHMS.items()}
        for name, learner in LANGUAGE_ALGORITHMS.items():
            found[name] = f"transformer: {learner.summary}"
    width = max(map(len, found))
    for name, text in found.items():
        print(f"{name:<{width}}  {text}".rstrip())
    return 0, {options.what: found}


def check_reward_command(options: argparse.Namespace) -> Outcome:
    """Check a reward on rollouts of a real environment."""
    from ctrl.checking import check_on_env

    report = check_on_env(
        options.reward, env=options.env, gamma=options.gamma, steps=options.steps,
        seed=options.seed, options=options.words,
    )  # fmt: skip
    print(report)
    violations = [{"rule": v.rule, "message": v.message} for v in report.violations]
    document = {"reward": options.reward, "ok": report.ok, "violations": violations}
    return 0 if report.ok else 1, document


def _report(result: dict[str, Any]) -> None:
    """Print the closing lines of a run."""

    def number(value: float | None) -> str:
        return "none finished" if value is None else f"{value:.4g}"

    print(
        f"{result['steps']} steps in {result['seconds']:.1f} s "
        f"({result['steps_per_second']:.0f} steps/s)"
    )
    line = f"task return {number(result['task_return'])}"
    if result["success_rate"] is not None:
        line += f", success rate {result['success_rate']:.0%}"
    if len(result["terms"]) > 1:
        line += f", shaped return {number(result['shaped_return'])}"
    print(f"{line} (last 100 training episodes)")
    folder = result["run_folder"]
    if not result["finished"]:
        print(f"Interrupted. Continue with: ctrl resume {folder}")
    else:
        print(f"Results: {folder}   Curves: tensorboard --logdir {folder}, or ctrl plot {folder}")
