"""Commands and options, with the nearest valid name in every error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from reward_models.errors import nearest_name


class _Parser(argparse.ArgumentParser):
    """Add the nearest valid option or command to argparse's errors."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        parsed, unknown = self.parse_known_args(words, namespace)
        # argparse takes positional words in one place only; settings may stand anywhere.
        if unknown and hasattr(parsed, "words"):
            parsed.words = [*parsed.words, *(word for word in unknown if not word.startswith("-"))]
            unknown = [word for word in unknown if word.startswith("-")]
        if unknown:
            parser = self._chosen(words)
            word = next((w for w in unknown if w.startswith("-")), unknown[0])
            nearest = nearest_name(word.partition("=")[0], parser._option_string_actions)
            hint = f" Did you mean {nearest!r}?" if nearest and word.startswith("-") else ""
            parser.error(f"unknown option {word!r}.{hint}")
        return parsed

    def _chosen(self, words: list[str]) -> argparse.ArgumentParser:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for word in words:
                    if word in action.choices:
                        return action.choices[word]
        return self

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            nearest = nearest_name(str(value), [str(choice) for choice in action.choices])
            hint = f" Did you mean {nearest!r}?" if nearest else ""
            listed = ", ".join(map(str, action.choices))
            what = "command" if isinstance(action, argparse._SubParsersAction) else "value"
            raise argparse.ArgumentError(None, f"unknown {what} {value!r}.{hint} Valid: {listed}.")

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: error: {message}", file=sys.stderr)
        print(f"Try `{self.prog} --help`.", file=sys.stderr)
        raise SystemExit(2)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each sets ``run`` to its function."""
    from ctrl.cli import commands
    from ctrl.cli.align_commands import add_align
    from ctrl.cli.analyse_commands import add_analyse
    from ctrl.cli.compare_commands import add_compare
    from ctrl.cli.demos_commands import add_demos
    from ctrl.cli.design_commands import add_design
    from ctrl.cli.environment_commands import add_environments
    from ctrl.cli.match_commands import add_match
    from ctrl.cli.report_commands import add_report
    from ctrl.cli.search_commands import add_search
    from ctrl.cli.study_commands import add_study

    parser = _Parser(prog="ctrl", description="Train policies with pluggable reward models.")
    parser.add_argument("--version", action="version", version=_version())
    found = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = found.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument(
            "--json", action="store_true", help="print one JSON object as the last line"
        )
        return sub

    train = add("train", commands.train_command, "Train a policy and write a run folder.")
    train.add_argument(
        "words", nargs="*", metavar="FILE | key=value",
        help="a configuration file, and settings such as reward.rnd.weight=0.05",
    )  # fmt: skip
    train.add_argument("--env", help="environment, see `ctrl list envs`")
    train.add_argument("--algo", help="learner, see `ctrl list algos` (default: ppo)")
    train.add_argument(
        "--reward", action="append", default=[], metavar="NAME[=WEIGHT]",
        help="add a reward term: a listed name, FILE.py:FUNCTION or package.module:Class; "
        "may be repeated",
    )  # fmt: skip
    train.add_argument(
        "--from", dest="start_from", metavar="ELITE | RUN",
        help="start from this solution of `ctrl search`, or from the policy of this run; its "
        "environment unless --env says another",
    )  # fmt: skip
    train.add_argument("--steps", help="environment steps (default: 100000)")
    train.add_argument("--seed", help="seed (default: 0)")
    train.add_argument(
        "--seeds", metavar="N | A-B | A,B,C",
        help="several runs: a count (5 is 0 to 4), a range or a list; OUT holds seed_* folders",
    )  # fmt: skip
    train.add_argument(
        "--processes", type=int, default=None, metavar="P",
        help="processes for --seeds (default: one per core)",
    )  # fmt: skip
    train.add_argument("--out", type=Path, help="run folder (default: a new one under runs/)")
    train.add_argument("--quiet", action="store_true", help="no progress bar")

    again = add(
        "resume", commands.resume_command, "Continue a run, a search, an alignment or a design."
    )
    again.add_argument("run_folder", type=Path, metavar="RUN")
    again.add_argument("--steps", type=int, help="train to this many environment steps")
    again.add_argument("--budget", type=int, help="of a search: up to this many evaluations")
    again.add_argument("--iterations", type=int, help="of an alignment: up to this many iterations")
    again.add_argument("--processes", type=int, metavar="P", help="of a search: evaluate on P")
    again.add_argument("--ray", metavar="ADDRESS", help="of a search: on this Ray cluster")
    again.add_argument("--rounds", type=int, help="of a design: up to this many rounds")
    _trust(again)
    again.add_argument("--quiet", action="store_true", help="no progress bar")

    add_search(add)
    add_align(add)
    add_design(add)
    add_study(add)
    _add_inspection(add)
    for more in (add_report, add_demos, add_compare, add_analyse, add_environments, add_match):
        more(add)
    return parser


def _add_inspection(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands that look at runs, rewards and names."""
    from ctrl.cli import commands

    judge = add("eval", commands.eval_command, "Evaluate a policy by the task reward.")
    judge.add_argument("run_folder", type=Path, metavar="RUN")
    judge.add_argument("--episodes", type=int, default=100, help="(default: 100)")
    judge.add_argument("--seed", type=int, default=10_000, help="(default: 10000)")
    judge.add_argument("--best", action="store_true", help="the best evaluated policy of the run")
    judge.add_argument("--stochastic", action="store_true", help="sample actions")
    judge.add_argument(
        "--horizon", type=int, metavar="H",
        help="also the return of exactly H steps, beginning anew after every end",
    )  # fmt: skip
    judge.add_argument("--video", type=Path, help="film one episode to this .mp4 or .gif")
    _trust(judge)

    draw = add("plot", commands.plot_command, "Draw learning curves with intervals over seeds.")
    draw.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    draw.add_argument("--metric", default="auto", help="a column of progress.csv")
    draw.add_argument("--out", type=Path, help="PNG (default: in the first RUN)")

    ledger = add(
        "ledger", commands.ledger_command,
        "Run episodes of a policy and list what every reward term paid at every step.",
    )  # fmt: skip
    ledger.add_argument("run_folder", type=Path, metavar="RUN")
    ledger.add_argument("--episode", type=int, default=0, help="which episode (default: 0)")
    ledger.add_argument("--seed", type=int, default=10_000, help="(default: 10000)")
    ledger.add_argument("--csv", type=Path, help="write all rows to this file")
    ledger.add_argument("--png", type=Path, help="draw the episode to this file")
    ledger.add_argument("--rows", type=int, default=40, help="rows to print (default: 40)")
    _trust(ledger)

    listing = add("list", commands.list_command, "List rewards, environments or learners.")
    listing.add_argument("what", choices=["rewards", "envs", "algos", "objectives"])

    check = add(
        "check-reward", commands.check_reward_command,
        "Check a reward against the contract and report every violation at once.",
    )  # fmt: skip
    check.add_argument("reward", help="a listed name, FILE.py:NAME or package.module:NAME")
    check.add_argument("--env", required=True, help="environment whose rollouts are used")
    check.add_argument("--gamma", type=float, default=0.99, help="(default: 0.99)")
    check.add_argument("--steps", type=int, default=512, help="steps to collect (default: 512)")
    check.add_argument("--seed", type=int, default=0, help="(default: 0)")
    check.add_argument(
        "words", nargs="*", metavar="key=value", help="options of the reward, env.KEY=... of ENV"
    )


def _trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust-code", action="store_true",
        help="allow the reward or environment code that the run folder names",
    )  # fmt: skip


def _version() -> str:
    from ctrl import __version__

    return f"ctrl {__version__}"
