"""Rewards by name: the listed ones, ``file.py:function`` and ``package.module:Class``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from reward_models.base import RewardModel, as_reward_model
from reward_models.coded.program import program_file
from reward_models.errors import UnknownNameError, UserError, nearest_name
from reward_models.potential import FunctionPotential


@dataclass(frozen=True)
class Listed:
    """A reward that has a name of its own.

    Attributes:
        path: ``module:Class``.
        summary: one line for ``ctrl list rewards``.
    """

    path: str
    summary: str


REWARDS: dict[str, Listed] = {
    "task": Listed("reward_models.mix:TaskReward", "the environment's own reward"),
    "constant": Listed("reward_models.constant:Constant", "the same reward at every step"),
    "potential": Listed(
        "reward_models.potential:FunctionPotential",
        "potential-based shaping with your function phi(observation): potential:FILE.py:FUNCTION",
    ),
    "behaviour_alignment": Listed(
        "reward_models.blend.behaviour_alignment:BehaviourAlignment",
        "blend of the task and other rewards learned by `ctrl align` (BARFI); path: RUN/reward",
    ),
    "rnd": Listed("reward_models.curiosity.rnd:RND", "random network distillation"),
    "icm": Listed("reward_models.curiosity.icm:ICM", "intrinsic curiosity module"),
    "disagreement": Listed(
        "reward_models.curiosity.disagreement:Disagreement",
        "disagreement of an ensemble of forward models",
    ),
    "byol_explore": Listed(
        "reward_models.curiosity.hindsight.byol_explore:BYOLExplore",
        "surprise in predictions of embeddings (BYOL-Explore)",
    ),
    "byol_hindsight": Listed(
        "reward_models.curiosity.hindsight.byol_hindsight:BYOLHindsight",
        "the same, blind to irreducible noise (Curiosity in Hindsight)",
    ),
    "icm_hindsight": Listed(
        "reward_models.curiosity.hindsight.icm_hindsight:ICMHindsight",
        "intrinsic curiosity module, blind to irreducible noise",
    ),
    "count": Listed(
        "reward_models.curiosity.counting.counts:Counts", "1 / sqrt(visits) of exact states"
    ),
    "sim_hash": Listed(
        "reward_models.curiosity.counting.sim_hash:SimHash",
        "1 / sqrt(visits) of hashed states (#Exploration)",
    ),
    "density": Listed(
        "reward_models.curiosity.counting.density:DensityPseudoCounts",
        "pseudo-counts of a density model",
    ),
    "pseudo_counts": Listed(
        "reward_models.curiosity.episodic.pseudo_counts:PseudoCounts",
        "episodic novelty by nearest neighbours (of Never Give Up)",
    ),
    "ngu": Listed(
        "reward_models.curiosity.episodic.ngu:NGU", "Never Give Up: episodic times lifelong novelty"
    ),
    "e3b": Listed(
        "reward_models.curiosity.episodic.e3b:E3B", "episodic novelty by elliptical bonuses"
    ),
    "ride": Listed(
        "reward_models.curiosity.episodic.ride:RIDE",
        "change of the controllable features, over episodic visits",
    ),
    "re3": Listed(
        "reward_models.curiosity.entropy.re3:RE3",
        "state entropy by nearest neighbours in random features",
    ),
    "rise": Listed("reward_models.curiosity.entropy.rise:RISE", "the same for Renyi entropy"),
    "novelty_knn": Listed(
        "reward_models.novelty.novelty_knn:NoveltyKNN",
        "novelty of whole episodes against an archive of earlier ones",
    ),
    "ae_surprise": Listed(
        "reward_models.novelty.ae_surprise:AESurprise",
        "how badly an autoencoder rebuilds the end of an episode (of TAXONS)",
    ),
    "progress": Listed(
        "reward_models.progress.progress_model:ProgressReward",
        "gold and policy-invariant shaping by the progress of the task (Dopamine)",
    ),
    "progress_potential": Listed(
        "reward_models.progress.progress_potential:ProgressPotential",
        "shaping by the progress of a state, also for replayed transitions",
    ),
    "gail": Listed(
        "reward_models.imitation.adversarial:AdversarialImitation",
        "imitation of demonstrations by a Lipschitz-regularised discriminator (GAIL, DAC)",
    ),
    "red": Listed(
        "reward_models.imitation.random_expert_distillation:RandomExpertDistillation",
        "how well a network fitted on demonstrations knows a step (RED)",
    ),
    "coded": Listed(
        "reward_models.coded.coded_reward:CodedReward",
        "a generated program, run in a sandbox; program: FILE.py",
    ),
    "pessimistic": Listed(
        "reward_models.imitation.preconditioning:Pessimistic",
        "any reward, paid less where it or the world is steep (PURPLE): model: {use: NAME}",
    ),
    "kinesthetic": Listed(
        "reward_models.kinesthetic.state_reward:KinestheticReward",
        "worth of ball, car and goal positions, by shape functions (Lucy-SKG)",
    ),
    "kinesthetic_potential": Listed(
        "reward_models.kinesthetic.state_potential:KinestheticPotential",
        "shaping by the change of that worth; setting: invariant or published",
    ),
    "match_events": Listed(
        "reward_models.kinesthetic.match_events:MatchEvents",
        "weighted goals, touches, shots, saves and demolitions (Lucy-SKG)",
    ),
    "pressure": Listed(
        "reward_models.kinesthetic.pressure:Pressure",
        "pressure on a goal, paid when it ends in a goal or a clearance (Lucy-SKG)",
    ),
    "team_spirit": Listed(
        "reward_models.kinesthetic.team_spirit:TeamSpirit",
        "any reward, shared in the team and zero-sum between teams: model: {use: NAME}",
    ),
    "quantity": Listed(
        "reward_models.quantity:Quantity", "a quantity of the simulator, as it is: name: NAME"
    ),
}
"""Rewards that can be used by name."""

_SUPPLIED = ("observation_space", "action_space", "seed", "gamma")


def is_own_code(use: str) -> bool:
    """Whether ``use`` names code outside the listed rewards, which runs when it is loaded.

    A saved program does not: it is read as text, and runs in a sandbox.
    """
    return ":" in use and program_file(use) is None


def absolute_use(use: str) -> str:
    """Return ``use`` with the path of a file written out; anything else unchanged."""
    prefix = "potential:" if use.startswith("potential:") else ""
    place, colon, name = use.removeprefix(prefix).rpartition(":")
    if not place.endswith(".py"):
        return use
    return f"{prefix}{Path(place).expanduser().resolve()}{colon}{name}"


def load_reward(use: str) -> Any:
    """Return what a name, ``file.py:name`` or ``package.module:name`` stands for.

    Raises:
        UnknownNameError: no such listed reward, or no such name in the file or module.
        UserError: no such file or module, or it fails while it is loaded.
    """
    if use.startswith("potential:"):
        function = load_reward(use.removeprefix("potential:"))
        if not callable(function) or isinstance(function, type):
            raise UserError(f"{use!r} must name a function phi(observation).")
        return lambda **options: FunctionPotential(function, **options)
    if program_file(use) is not None:
        return load_reward("coded")(**_program_options(use))
    if not is_own_code(use):
        if use not in REWARDS:
            raise UnknownNameError("reward", use, REWARDS)
        return _attribute(use, *REWARDS[use].path.split(":"))
    return load_attribute(use)


def load_attribute(use: str, *, what: str = "Reward") -> Any:
    """Return what ``file.py:name`` or ``package.module:name`` stands for; loading runs the file.

    Args:
        use: the text.
        what: what it should name, for errors.

    Raises:
        UnknownNameError: no such name in the file or module.
        UserError: no such file or module, or it fails while it is loaded.
    """
    place, _, name = use.rpartition(":")
    return _attribute(use, place, name, what)


def build_reward(
    use: str,
    *,
    observation_space: gymnasium.Space,
    action_space: gymnasium.Space,
    gamma: float,
    seed: int = 0,
    name: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> RewardModel:
    """Build the reward that ``use`` names.

    Classes receive, of spaces, discount and seed, what their constructor asks for, and the options.
    The seed is mixed with the term's name, so that two terms do not draw the same numbers.

    Args:
        use: see ``load_reward``.
        observation_space: of one environment.
        action_space: of one environment.
        gamma: the learner's discount.
        seed: of the run.
        name: the term's name; ``use`` when None.
        options: keyword arguments of the class.

    Raises:
        UserError: it cannot be built, with the reason.
        UnknownNameError: an option the class does not have.
    """
    options = dict(options or {})
    if use == "potential":
        if "function" not in options:
            raise UserError(
                "Reward 'potential' needs your function: --reward potential:FILE.py:FUNCTION=1.0, "
                "or in YAML {use: potential, function: FILE.py:FUNCTION}."
            )
        function = options.pop("function")
        use = f"potential:{function}" if isinstance(function, str) else use
    if program_file(use) is not None:
        use, options = "coded", {**_program_options(use), **options}
    found = load_reward(use)
    if isinstance(found, RewardModel):
        return found
    if use.startswith("potential:"):
        known = inspect.signature(FunctionPotential).parameters
        _check_options(use, options, [key for key in known if key != "function"])
        return _built(use, found, options)
    if not isinstance(found, type):
        _check_options(use, options, ())
        return as_reward_model(found)
    if not issubclass(found, RewardModel):
        raise UserError(f"{use!r} is a class but not a RewardModel.")
    parameters = inspect.signature(found).parameters
    settable = [key for key in parameters if key not in _SUPPLIED]
    _check_options(use, options, settable)
    mixed = np.random.SeedSequence([seed, zlib.crc32((name or use).encode())])
    supplied = {
        "observation_space": observation_space,
        "action_space": action_space,
        "seed": int(mixed.generate_state(1)[0]),
        "gamma": gamma,
    }
    arguments = {key: value for key, value in supplied.items() if key in parameters}
    return _built(use, found, {**arguments, **options})


def inner_reward(
    model: RewardModel | Callable[..., Any] | Mapping[str, Any] | str,
    *,
    observation_space: gymnasium.Space | None,
    action_space: gymnasium.Space | None,
    gamma: float | None,
    seed: int,
) -> RewardModel:
    """Return the reward that another reward is built around.

    Args:
        model: a reward model or plain function, the name of a reward, or as in a configuration
            ``{use: NAME, ...}`` with its options.
        observation_space: of one environment; for a model by name.
        action_space: likewise.
        gamma: the learner's discount; for a model by name, 0.99 when None.
        seed: of a model by name.

    Raises:
        UserError: nothing that can be built, or a model by name without spaces.
        UnknownNameError: no such reward or option.
    """
    if not isinstance(model, str | Mapping):
        return as_reward_model(model)
    if observation_space is None or action_space is None:
        raise UserError(
            "A model by name needs observation_space and action_space; or give the model itself."
        )
    options = {"use": model} if isinstance(model, str) else dict(model)
    use = options.pop("use", None)
    if not isinstance(use, str):
        raise UserError(f"model must say what to use, as in {{use: rnd, ...}}, got {model!r}.")
    return build_reward(
        use, observation_space=observation_space, action_space=action_space,
        gamma=0.99 if gamma is None else gamma, seed=seed, options=options,
    )  # fmt: skip


def _program_options(use: str) -> dict[str, Any]:
    """Return the options of ``coded`` that ``file.py:program`` stands for."""
    name = use.rpartition(":")[2]
    if name != "program":
        raise UnknownNameError("name in a file of a coded reward", name, ["program"])
    return {"program": program_file(use)}


def _built(
    use: str, maker: Callable[..., RewardModel], arguments: Mapping[str, Any]
) -> RewardModel:
    try:
        return maker(**arguments)
    except TypeError as error:
        raise UserError(f"Reward {use!r} cannot be built: {error}.") from error


def _check_options(use: str, options: Mapping[str, Any], valid: Any) -> None:
    for key in options:
        if key not in valid:
            # In a configuration the options stand beside the keys of the term itself.
            known = [*valid, "weight", "scale", "gate"]
            raise UnknownNameError(f"option of reward {use!r}", key, known)


def _attribute(use: str, place: str, name: str, what: str = "Reward") -> Any:
    module = _module(f"{what} {use!r}", place)
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise UnknownNameError(f"name in {place}", name, public)
    return getattr(module, name)


def _module(what: str, place: str) -> Any:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place).expanduser().resolve()
        if not path.is_file():
            folder = path.parent
            others = [file.name for file in folder.glob("*.py")] if folder.is_dir() else []
            nearest = nearest_name(path.name, others)
            hint = f" Did you mean {nearest!r}?" if nearest else ""
            raise UserError(f"{what}: there is no file {path}.{hint}")
        return _file_module(path)
    except (UserError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as error:
        raise UserError(f"{what}: there is no module {error.name!r}.") from error
    except Exception as error:
        where = f"{type(error).__name__}: {error}"
        raise UserError(f"{what}: {place} fails while it is loaded: {where}") from error


def _file_module(path: Path) -> Any:
    # The name is unique to the path, so that two files of one name do not shadow each other.
    name = f"_reward_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be loaded as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
