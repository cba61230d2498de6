"""Train once: from a configuration to a run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from tqdm import tqdm

from ctrl.build import OWN_OBJECT, Terms, alone, build_env, build_model
from ctrl.checkpoint import POLICY, load_tree, newest_checkpoint, save_tree
from ctrl.config import TASK, TermConfig, TrainConfig, parse_config
from ctrl.earlier_run import is_run, write_earlier_policy
from ctrl.finetune import starting_from, with_start_defaults, write_elite
from ctrl.imitation.cloning import BehaviourCloning
from ctrl.imitation.lipschitz import check_measurable
from ctrl.interruption import stop_on_interrupt
from ctrl.llm.algorithms import find_language_algorithm, is_language
from ctrl.objectives.objective import ObjectiveError
from ctrl.opponents import absolute_opponent, absolute_start, against, pool_of
from ctrl.own_code import absolute_term
from ctrl.plain_settings import check_plain
from ctrl.run_folder import RunFolder
from ctrl.sb3.callbacks import (
    Checkpoints,
    Evaluator,
    LipschitzLogger,
    Progress,
    Restore,
    RewardLogger,
)
from ctrl.sb3.model import books_of
from ctrl.sb3.state import policy_state, restore_learner
from ctrl.search.elites import load_elite, save_elite
from ctrl.self_play.callback import SelfPlay
from ctrl.self_play.pool import check_learner
from envs import whole_columns
from reward_models.base import RewardModel
from reward_models.errors import RewardError, UserError
from reward_models.mix import Term
from reward_models.registry import absolute_use


@dataclass(frozen=True)
class RunResult:
    """Closing numbers of a training run.

    Attributes:
        run_folder: where everything lies.
        steps: environment steps done.
        seconds: wall time of training in this process.
        steps_per_second: of this process.
        task_return: mean task return of the last 100 training episodes; None before one ended.
        shaped_return: mean sum of all terms over them.
        success_rate: of the last 100 training episodes; None where the environment reports none.
        terms: mean contribution of each term to the return of an episode.
        finished: false when the run was interrupted and can be resumed.
    """

    run_folder: str
    steps: int
    seconds: float
    steps_per_second: float
    task_return: float | None
    shaped_return: float | None
    success_rate: float | None
    terms: dict[str, float]
    finished: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def train(
    config: TrainConfig | None = None,
    *,
    env: str | Mapping[str, Any] | None = None,
    algo: str | Mapping[str, Any] | None = None,
    reward: Mapping[str, Any] | None = None,
    steps: int = 100_000,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | None = False,
    **settings: Any,
) -> RunResult:
    """Train a policy and write a run folder.

    Args:
        config: the whole configuration; or give its parts:
        env: environment name, or a mapping with ``id``, ``n_envs``, and its options; None takes
            that of the elite or run in ``start_from``.
        algo: learner name, or a mapping with ``name`` and SB3's settings; None takes the learner of
            the policy in ``start_from``, else ``ppo``.
        reward: terms by name: a weight (of a listed reward), a mapping as in a configuration file,
            or a reward model, a function or a ``Term``.
        steps: environment steps.
        seed: of everything that is random.
        out: run folder; None makes a new one under ``runs/``.
        progress: show a bar; None shows it on a terminal only.
        **settings: other fields of ``TrainConfig``, such as ``start_from``.

    Returns:
        The closing numbers and the run folder.

    Raises:
        UserError: a mistake in the arguments, before anything is written.
        RewardError: a reward broke its contract; a checkpoint of the last good state is kept.

    Example:
        >>> import ctrl  # doctest: +SKIP
        >>> result = ctrl.train(env="HalfCheetah-v5", reward={"rnd": 0.1}, steps=100_000)
    """
    terms: dict[str, Term | RewardModel | Callable[..., Any]] = {}
    if config is None:
        described: dict[str, Any] = {}
        for name, term in (reward or {}).items():
            if isinstance(term, Term | RewardModel) or callable(term):
                terms[name] = term
                described[name] = {"use": OWN_OBJECT + _object_name(term)}
            else:
                described[name] = term
        data = {
            "env": env, "algo": algo, "reward": described, "steps": steps, "seed": seed, **settings
        }  # fmt: skip
        given = {key: value for key, value in data.items() if value is not None}
        config = parse_config(with_start_defaults(given))
    config = complete(config)
    check_plain(config)
    if is_language(config.algo.name):
        from ctrl.llm.training import train_language

        place = None if out is None else Path(out)
        return train_language(config, terms=terms, out=place, progress=progress)
    model = _prepared(config, terms)
    elite = None
    if config.start_from is not None and is_run(config.start_from):
        write_earlier_policy(model, config.start_from)
    elif config.start_from is not None:
        elite = load_elite(config.start_from)
        write_elite(model, elite)
    cloning = None
    if config.behaviour_cloning is not None:
        cloning = BehaviourCloning(model, config.behaviour_cloning, seed=config.seed)
    folder = RunFolder.create(None if out is None else Path(out), config)
    if elite is not None:
        save_elite(folder.path / "elite", elite)
    return _run(model, config, folder, progress=progress, cloning=cloning)


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    progress: bool | None = False,
    terms: Terms | None = None,
    trust_code: bool = False,
) -> RunResult:
    """Continue a run from its newest checkpoint; on a CPU as if it had never stopped.

    Args:
        path: the run folder.
        steps: train to this many environment steps instead of the configured ones. Learning-rate
            and clip schedules of SB3 depend on the total, so this is a different run.
        progress: see ``train``.
        terms: the reward objects of a run that was started from Python with such.
        trust_code: allow code that the run folder names.

    Raises:
        UserError: no checkpoint, untrusted code, or the run is finished.
    """
    from ctrl.evaluation import require_trust

    folder = RunFolder.open(path)
    config = folder.config()
    given = {name: term for name, term in config.reward.items() if name not in (terms or {})}
    require_trust(replace(config, reward=given), folder, trust_code)
    if steps is not None:
        config = replace(config, steps=steps)
    if is_language(config.algo.name):
        from ctrl.llm.training import resume_language

        return resume_language(folder, config, terms=dict(terms or {}), progress=progress)
    checkpoint = newest_checkpoint(folder.checkpoints)
    if checkpoint is None:
        raise UserError(f"{folder.path} has no checkpoint to continue from.")
    tree = load_tree(checkpoint)
    if tree["counters"]["num_timesteps"] >= config.steps:
        raise UserError(
            f"{folder.path} is finished ({config.steps} steps). To train it further, pass "
            "--steps with a larger number."
        )
    model = _prepared(config, dict(terms or {}))
    restore_learner(model, tree)
    return _run(model, config, folder, progress=progress, resumed=tree)


def complete(config: TrainConfig) -> TrainConfig:
    """Write out what the configuration leaves to defaults, so that the run folder records it."""
    from ctrl.sb3.algorithms import find_algorithm

    every, cloning = config.checkpoints.every, config.behaviour_cloning
    if is_language(config.algo.name):
        env = config.env
        defaults = find_language_algorithm(config.algo.name).options
    else:
        algorithm = find_algorithm(config.algo.name)
        config = starting_from(config)
        columns = config.env.n_envs or whole_columns(config.env.id, algorithm.n_envs)
        env = replace(absolute_start(absolute_opponent(config.env)), n_envs=columns)
        defaults = algorithm.options
    terms = {TASK: TermConfig(use=TASK), **config.reward}
    return replace(
        config,
        env=env,
        algo=replace(config.algo, options={**defaults, **config.algo.options}),
        # A run can be resumed from another folder than the one its reward file was named from.
        reward={name: absolute_term(t) for name, t in terms.items()},
        objective={
            name: replace(part, use=absolute_use(part.use))
            for name, part in config.objective.items()
        },
        checkpoints=replace(
            config.checkpoints, every=max(1, config.steps // 10) if every is None else every
        ),
        behaviour_cloning=None
        if cloning is None
        else replace(cloning, demonstrations=str(Path(cloning.demonstrations).resolve())),
    )


def _prepared(config: TrainConfig, terms: Terms) -> BaseAlgorithm:
    torch.set_num_threads(config.threads)
    model = build_model(config, terms=terms)
    if pool_of(config.env, model.env) is not None:
        check_learner(model)
    if config.diagnostics.lipschitz:
        check_measurable(model)
    return model


def _run(
    model: BaseAlgorithm,
    config: TrainConfig,
    folder: RunFolder,
    *,
    progress: bool | None,
    resumed: Mapping[str, Any] | None = None,
    cloning: BehaviourCloning | None = None,
) -> RunResult:
    began, start_steps = time.perf_counter(), model.num_timesteps
    model.set_logger(folder.logger(resumed_at=start_steps if resumed is not None else None))
    checkpoints = Checkpoints(
        folder.checkpoints,
        every=config.checkpoints.every or 0,
        keep=config.checkpoints.keep,
        replay_buffer=config.checkpoints.replay_buffer,
        at_once=cloning is not None,
    )
    callbacks: list[BaseCallback] = [] if resumed is None else [Restore(resumed)]
    playing, pool = config.env, pool_of(config.env, model.env)
    if pool is not None:
        callbacks.append(SelfPlay(pool, folder.opponents))
        playing = against(playing, pool)
    if config.evaluation.every:
        seed, episodes = config.seed + 1_000_000, config.evaluation.episodes
        callbacks.append(
            Evaluator(
                lambda: build_env(alone(playing), n_envs=min(episodes, 8), seed=seed),
                every=config.evaluation.every,
                episodes=episodes,
                seed=seed,
                best=folder.best,
                at_once=cloning is not None,
            )
        )
    # Behind the evaluation, so that a checkpoint of the same moment holds what it logged.
    callbacks += [checkpoints, RewardLogger(folder.alarms_file)]
    watched = config.diagnostics
    if watched.lipschitz:
        callbacks.append(
            LipschitzLogger(every=watched.lipschitz, samples=watched.samples, seed=config.seed)
        )
    if progress is not False:
        disable = None if progress is None else False
        callbacks.append(Progress(config.steps, description=folder.path.name, disable=disable))
    try:
        if cloning is not None:
            cloned = cloning.run(progress=progress)
            if progress is not False:
                tqdm.write(cloned.describe())
        with (
            stop_on_interrupt(checkpoints.request_stop, after="this rollout"),
            _unchecked_distributions(model),
        ):
            model.learn(
                config.steps - start_steps,
                callback=callbacks,
                log_interval=4 if isinstance(model, OffPolicyAlgorithm) else 1,
                reset_num_timesteps=resumed is None,
            )
            if not checkpoints.interrupted:
                _close_books(model)
        finished = not checkpoints.interrupted
        if finished:
            save_tree(policy_state(model), folder.final, arrays_file=POLICY)
            # While the environments are open: worker processes take their state with them.
            checkpoints.save_now()
    except ObjectiveError as error:
        kept = checkpoints.save_now()
        raise ObjectiveError(
            error.part, f"{error.message} The last good state is kept in {kept}."
        ) from error
    except RewardError as error:
        kept = checkpoints.save_now()
        raise RewardError(
            error.term, f"{error.message} The last good state is kept in {kept}."
        ) from error
    finally:
        model.logger.close()
        if model.env is not None:
            model.env.close()
    result = _result(model, folder, time.perf_counter() - began, start_steps, finished)
    text = json.dumps(result.as_dict(), indent=2)
    folder.result_file.write_text(text + "\n", encoding="utf-8")
    return result


def _close_books(model: BaseAlgorithm) -> None:
    """Book the steps that wait for a full chunk, and write what was not yet logged."""
    books = books_of(model)
    books.finish()
    if isinstance(model, OffPolicyAlgorithm):
        buffer: Any = model.replay_buffer
        buffer.flush()
    if books.fresh:
        for key, value in books.metrics.items():
            model.logger.record(key, value)
    model.dump_logs()


def _result(
    model: BaseAlgorithm, folder: RunFolder, seconds: float, start: int, finished: bool
) -> RunResult:
    returns = books_of(model).returns()
    done = model.num_timesteps - start
    successes = list(model.ep_success_buffer or [])
    prefix = "return/term/"
    return RunResult(
        run_folder=str(folder.path),
        steps=model.num_timesteps,
        seconds=seconds,
        steps_per_second=done / seconds,
        task_return=returns.get("return/task"),
        shaped_return=returns.get("return/shaped"),
        success_rate=sum(map(bool, successes)) / len(successes) if successes else None,
        terms={k.removeprefix(prefix): v for k, v in returns.items() if k.startswith(prefix)},
        finished=finished,
    )


@contextmanager
def _unchecked_distributions(model: BaseAlgorithm) -> Iterator[None]:
    """Skip torch's checks of every action distribution, some percent of a whole on-policy run.

    The rollout buffer finds a diverged policy once per rollout instead.
    """
    before = torch.distributions.Distribution._validate_args
    if isinstance(model, OnPolicyAlgorithm):
        torch.distributions.Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        torch.distributions.Distribution.set_default_validate_args(before)


def _object_name(term: Any) -> str:
    model = term.model if isinstance(term, Term) else term
    return getattr(model, "__qualname__", None) or type(model).__qualname__
