"""The blend that an outer loop has learned, as a reward for any learner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import gymnasium
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reward_models.base import Extras, RewardModel, Scope
from reward_models.blend.coefficients import BlendCoefficients, blended
from reward_models.blend.features import make_features
from reward_models.errors import UserError
from reward_models.mix import RewardMix, Term
from reward_models.rollout import Rollout

_ARRAYS, _REST = "reward.safetensors", "reward.json"
_FORMAT = "ctrl.behaviour_alignment.v1"
_SCOPES = (Scope.TRANSITION, Scope.EPISODE, Scope.GROUP)


@final
class BehaviourAlignment(RewardModel):
    """A learned blend of the task and auxiliary rewards (BARFI, Gupta et al. 2023), frozen.

    ``r_phi(s, a) = phi_1(s) + phi_2(s) r_task(s, a) + sum_k phi_3k(s) r_aux,k(s, a)``

    It holds the coefficients and its own auxiliary terms with their weights and scales as they were
    at the end of ``ctrl align``, and the task reward is one of its parts: use it *in place of* the
    task, with ``task: 0`` beside it. It was learned together with a discount, ``discount``; train
    with that one. Scope and keys are those of its terms.

    ``update`` changes nothing and reports the mean coefficients on the rollout's states.

    Args:
        path: folder ``reward`` of a run of ``ctrl align``.
        observation_space: of one environment; that of the run.
        action_space: of one environment.
        gamma: the learner's discount, for potentials among the terms.
        seed: of terms that are stochastic.
        trust_code: allow terms that name code outside the listed rewards.

    Attributes:
        discount: the learned discount.

    Raises:
        UserError: no such folder, code that is not trusted, or spaces that do not fit.
    """

    task_free = False

    def __init__(
        self,
        *,
        path: str | Path,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        gamma: float = 0.99,
        seed: int = 0,
        trust_code: bool = False,
    ) -> None:
        super().__init__()
        document, arrays = _read(Path(path))
        self.discount = float(document["discount"])
        self.mix = _mix(
            document["terms"],
            {
                "observation_space": observation_space,
                "action_space": action_space,
                "gamma": gamma,
                "seed": seed,
            },
            untrusted=None if trust_code else path,
        )
        blend = document["blend"]
        self.coefficients = BlendCoefficients(
            make_features(blend["features"], observation_space, blend["options"]),
            auxiliary=len(self.mix.names) - 1,
            hidden=blend["hidden"],
            fixed_task=blend["fixed_task"],
        )
        try:
            self.load_state_dict(arrays)
        except RuntimeError as error:
            raise UserError(
                f"The reward in {path} was learned for other observations or actions than "
                f"{observation_space} and {action_space}: {error}"
            ) from error
        self._shape = tuple(observation_space.shape or ())
        self.mix.freeze_scales()
        self.requires_grad_(False)
        models: list[Any] = [*self.mix.models.values(), *self.mix.gates.values()]
        self.requires = self.mix.requires
        self.scope = max((model.scope for model in models), key=_SCOPES.index)
        self.replayable = all(model.replayable for model in models)
        self.batch_dependent = any(model.batch_dependent for model in models)
        # The coefficients read the observation as it is, a goal in it included.
        self.goal_relabelling = all(model.goal_relabelling for model in models)

    @property
    def learns(self) -> bool:
        """False: the coefficients are fixed, ``update`` reports them."""
        return False

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], Extras]:
        """Return the blended reward of every step."""
        mixed = self.mix.rewards(rollout)
        parts = mixed.contributions().to(torch.float64)
        reward = blended(self._phi(rollout), parts[..., 0], parts[..., 1:])
        reward = reward.to(torch.float32)
        return reward if mixed.keep is None else (reward, {"keep": mixed.keep})

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Return the mean coefficients over the real steps; nothing is learned."""
        if not bool(rollout.mask.any()):
            return {}
        with torch.no_grad():
            means = self._phi(rollout)[rollout.mask].mean(0).tolist()
        names = ["phi_1", "phi_2", *(f"phi_3/{name}" for name in self.mix.names[1:])]
        return dict(zip(names, means, strict=True))

    def _phi(self, rollout: Rollout) -> Float[Tensor, "T B C"]:
        # Replay buffers of SB3 hand numbers out as [T, B, 1].
        shape = (rollout.T, rollout.B, *self._shape)
        return self.coefficients(rollout.observation.reshape(shape))


def save_behaviour_alignment(
    folder: Path,
    *,
    mix: RewardMix,
    coefficients: BlendCoefficients,
    terms: Mapping[str, Mapping[str, Any]],
    blend: Mapping[str, Any],
    discount: float,
) -> None:
    """Write a learned blend as ``reward.safetensors`` and ``reward.json``.

    Args:
        folder: where; made when it is not there.
        mix: the terms, ``task`` first.
        coefficients: of the blend.
        terms: by name ``use``, ``weight``, ``scale``, ``gate`` and ``options`` of each term.
        blend: ``features`` with its ``options``, ``hidden`` and ``fixed_task``.
        discount: the learned discount.

    Raises:
        UserError: the folder cannot be written.
    """
    state = {f"mix.{name}": value for name, value in mix.state_dict().items()}
    state |= {f"coefficients.{name}": value for name, value in coefficients.state_dict().items()}
    document = {
        "format": _FORMAT,
        "discount": discount,
        "terms": {name: dict(terms[name]) for name in mix.names},
        "blend": dict(blend),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _REST).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        arrays = {name: value.detach().contiguous().clone() for name, value in state.items()}
        save_file(arrays, str(folder / _ARRAYS), metadata={"format": _FORMAT})
    except (OSError, SafetensorError) as error:
        raise UserError(f"Cannot write the reward {folder}: {error}.") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not (path / _REST).is_file():
        raise UserError(
            f"{str(path)!r} holds no learned blend: there is no {_REST}. Name the folder `reward` "
            "of a finished run of `ctrl align`."
        )
    try:
        document = json.loads((path / _REST).read_text(encoding="utf-8"))
        if document.get("format") != _FORMAT:
            raise UserError(f"{path / _REST} was not written by ctrl ({_FORMAT} expected).")
        return document, load_file(str(path / _ARRAYS))
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"The learned blend in {path} is damaged: {error}") from error


def _mix(
    terms: Mapping[str, Mapping[str, Any]],
    supplied: Mapping[str, Any],
    *,
    untrusted: str | Path | None,
) -> RewardMix:
    """Build the terms; ``untrusted`` is where they come from unless their code may run."""
    from reward_models.registry import build_reward, is_own_code

    def build(use: str, name: str, options: Mapping[str, Any]) -> RewardModel:
        if untrusted is not None and any(map(is_own_code, (use, str(options.get("function", ""))))):
            raise UserError(
                f"The learned blend in {untrusted} has the term {name!r} from {use!r}, which is "
                "code that ctrl does not ship. If you trust it, set trust_code: true beside path."
            )
        return build_reward(use, name=name, options=options, **supplied)

    built: dict[str, Term] = {}
    for name, term in terms.items():
        gate = term["gate"]
        built[name] = Term(
            model=build(term["use"], name, term["options"]),
            weight=term["weight"],
            scale=term["scale"],
            gate=None if gate is None else build(gate, f"{name}.gate", {}),
        )
    return RewardMix(built, gamma=supplied["gamma"])
