"""The parameters with which a policy of Stable-Baselines3 acts, as a genome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn
from torch.func import functional_call

from ctrl.sb3.algorithms import ALGORITHMS, find_algorithm
from ctrl.sb3.nethack_features import NetHackFeatures
from ctrl.search.genomes.base import Actor, GenomeKind
from reward_models.errors import UserError

# What a policy's deterministic action is computed from, by the attribute that SB3 keeps it in;
# the first row whose attributes are all there counts. Never a critic, an old copy of a network, or
# the deviation of a distribution whose mode is taken.
_ACTORS: tuple[tuple[str, ...], ...] = (
    ("pi_features_extractor", "mlp_extractor.policy_net", "action_net"),
    ("actor",),
    ("q_net",),
)
_ACTIONS = {
    **dict.fromkeys(("sac", "tqc", "td3", "ddpg"), spaces.Box), "dqn": spaces.Discrete
}  # fmt: skip
_NOT_ACTING = ("log_std",)
_JAX = "sbx_"
_ELEMENTWISE = nn.Tanh | nn.ReLU | nn.ELU | nn.GELU | nn.SiLU


@final
class PolicyGenome(GenomeKind):
    """The actor of an SB3 policy, its parameters one after the other in the order of their names.

    Actions are the policy's deterministic ones (the mode of its distribution, the largest value of
    a Q network) on raw observations, as ``policy.predict(observation, deterministic=True)`` gives
    them. The critic, target networks and standard deviations are no part of the genome: none of
    them has a say in what the policy does. Parameters are float32 for the network.

    Policies act one after the other. In a batched product of matrices the last bit of a row depends
    on where in memory it lies, so that a genome would not act the same in every batch (measured: it
    differs by 1e-7, and batching gains nothing at these sizes). How many threads torch uses may
    change the last bit too, as in training.

    Args:
        observation_space: of one column.
        action_space: of one column.
        algo: learner whose policy it is, see ``ctrl list algos``.
        policy_kwargs: SB3's settings of the policy, as in a configuration: ``net_arch``,
            ``activation_fn`` and so on.

    Attributes:
        names: the parameters, in their order.
        policy: the policy that is written to; whatever it holds does not matter.

    Raises:
        UserError: a recurrent policy, or one that does not fit the spaces.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        algo: str = "ppo",
        policy_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.algo, self.policy_kwargs = algo, dict(policy_kwargs or {})
        self.policy = _make_policy(algo, self.policy_kwargs, observation_space, action_space)
        acting = acting_parameters(self.policy)
        self.names = tuple(sorted(acting))
        self._shapes = [acting[name].shape for name in self.names]
        self._counts = [acting[name].numel() for name in self.names]
        self.size = sum(self._counts)
        self._acting = _Acting(self.policy)
        self._stack = _stack_of(self.policy)

    def describe(self) -> dict[str, Any]:
        """Return kind, learner and settings of the policy."""
        found: dict[str, Any] = {"kind": "policy", "algo": self.algo}
        return {**found, "policy_kwargs": dict(self.policy_kwargs)} if self.policy_kwargs else found

    def genome_of(self, policy: Any) -> NDArray[np.float64]:
        """Return the genome ``[D]`` of a policy of equal architecture.

        Raises:
            UserError: its actor has other parameters.
        """
        acting = acting_parameters(policy)
        self._check(acting)
        rows = [acting[name].detach().cpu().numpy().ravel() for name in self.names]
        return np.concatenate(rows).astype(np.float64)

    def write(self, genome: NDArray[np.float64], policy: Any) -> None:
        """Write a genome ``[D]`` into a policy of equal architecture, and into its target actor.

        Raises:
            UserError: its actor has other parameters, or the genome another length.
        """
        values = self._parameters(self.checked(np.asarray(genome)[None]))
        for holder in (policy, *target_actors(policy)):
            acting = acting_parameters(holder)
            self._check(acting)
            with torch.no_grad():
                for name in self.names:
                    acting[name].copy_(values[name][0])

    def actor(self, genomes: NDArray[np.float64]) -> Actor:
        """Return a function that acts for genomes ``[n, D]``, one per column."""
        # Own memory for every array: torch aligns what it allocates, and the kernels look at that.
        own = [
            {name: values[0].clone() for name, values in self._parameters(row[None]).items()}
            for row in self.checked(genomes)
        ]
        stack = self._stack
        layers = None if stack is None else [stack.layers(parameters) for parameters in own]

        def act(observation: Any) -> NDArray[Any]:
            tensors, _ = self.policy.obs_to_tensor(observation)
            with torch.no_grad(), _unchecked_distributions():
                rows = [
                    functional_call(self._acting, parameters, (_row(tensors, i),))
                    if stack is None or layers is None
                    else stack(layers[i], _row(tensors, i))
                    for i, parameters in enumerate(own)
                ]
            return self._executed(torch.cat(rows).cpu().numpy())

        return act

    def _executed(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Scale or clip actions to the bounds, as ``policy.predict`` does."""
        space: Any = self.policy.action_space
        actions = actions.reshape(-1, *(space.shape or ()))
        if isinstance(space, spaces.Box):
            if self.policy.squash_output:
                return self.policy.unscale_action(actions)
            return np.clip(actions, space.low, space.high)
        return actions

    def _parameters(self, genomes: NDArray[np.float64]) -> dict[str, Tensor]:
        """Cut genomes ``[n, D]`` into parameters ``[n, ...]`` by name."""
        parts = torch.from_numpy(genomes.astype(np.float32)).split(self._counts, dim=1)
        return {
            name: part.reshape(len(genomes), *shape)
            for name, part, shape in zip(self.names, parts, self._shapes, strict=True)
        }

    def _check(self, acting: Mapping[str, Tensor]) -> None:
        found = {name: list(values.shape) for name, values in acting.items()}
        expected = {name: list(shape) for name, shape in zip(self.names, self._shapes, strict=True)}
        if found != expected:
            raise UserError(
                f"The policy acts by other parameters than the genome holds: expected {expected}, "
                f"got {found}. Use the same learner and policy_kwargs."
            )


class _Acting(nn.Module):
    """A policy as a function from observations to its raw deterministic actions.

    Parameters keep the names that they have in the policy.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        for name, module in policy.named_children():
            self.add_module(name, module)
        self._predict = policy._predict

    def forward(self, observation: Any) -> Tensor:
        return self._predict(observation, deterministic=True)


_Layers = list[tuple[Tensor, Tensor | None]]


class _Stack:
    """The same as `_Acting` for networks of linear layers only, without SB3's way through them.

    Args:
        modules: linear layers, by their names in the policy, and activations (None).
        space: of the actions.
    """

    def __init__(self, modules: list[tuple[str, nn.Module]], space: spaces.Space) -> None:
        self.modules = modules
        self._discrete = isinstance(space, spaces.Discrete)

    def layers(self, parameters: Mapping[str, Tensor]) -> _Layers:
        """Return weights and biases of the linear layers of one genome."""
        return [
            (parameters[f"{name}.weight"], parameters.get(f"{name}.bias"))
            for name, module in self.modules
            if isinstance(module, nn.Linear)
        ]

    def __call__(self, layers: _Layers, observation: Tensor) -> Tensor:
        """Return the raw action of one genome for one observation, ``[1, ...]``."""
        units = observation.flatten(1).float()
        own = iter(layers)
        for _, module in self.modules:
            units = (
                nn.functional.linear(units, *next(own))
                if isinstance(module, nn.Linear)
                else module(units)
            )
        return units.argmax(dim=1) if self._discrete else units


def _stack_of(policy: Any) -> _Stack | None:
    """Return the policy as a stack of layers, or None where it is something else."""
    box, discrete = (isinstance(policy.action_space, k) for k in (spaces.Box, spaces.Discrete))
    actor = getattr(policy, "actor", None)
    holder = policy if actor is None else actor
    holder = getattr(policy, "q_net", holder)
    if not (box or discrete) or not isinstance(policy.observation_space, spaces.Box):
        return None
    if type(getattr(holder, "features_extractor", None)) is not FlattenExtractor:
        return None
    places: tuple[str, ...]
    if type(policy) is ActorCriticPolicy and not policy.use_sde:
        places, end = ("mlp_extractor.policy_net", "action_net"), []
    elif isinstance(policy, SACPolicy | TQCPolicy) and not policy.actor.use_sde:
        places, end = ("actor.latent_pi", "actor.mu"), [("", nn.Tanh())]
    elif isinstance(policy, TD3Policy):
        places, end = ("actor.mu",), []
    elif isinstance(policy, DQNPolicy):
        places, end = ("q_net.q_net",), []
    else:
        return None
    modules = [
        (f"{place}.{name}".rstrip("."), module)
        for place in places
        for name, module in policy.get_submodule(place).named_modules()
        if not isinstance(module, nn.Sequential)
    ]
    if not all(isinstance(module, nn.Linear | _ELEMENTWISE) for _, module in modules):
        return None
    return _Stack([*modules, *end], policy.action_space)


def acting_parameters(policy: Any) -> dict[str, Tensor]:
    """Return the parameters of a policy that its deterministic action depends on, by name.

    Raises:
        UserError: a recurrent policy, or a class that is not known.
    """
    if hasattr(policy, "lstm_actor"):
        raise UserError(
            "A recurrent policy carries a state from step to step, which a genome does not "
            "describe. Search a policy of ppo, a2c, trpo, sac, td3, ddpg, tqc or dqn."
        )
    for attributes in _ACTORS:
        try:
            modules = {name: policy.get_submodule(name) for name in attributes}
        except AttributeError:
            continue
        if any(module is None for module in modules.values()):
            continue
        # The canonical names: shared modules are listed under each of theirs, the first counts.
        members = {id(p) for module in modules.values() for p in module.parameters()}
        return {
            name: parameter
            for name, parameter in policy.named_parameters()
            if id(parameter) in members and not name.rpartition(".")[2].startswith(_NOT_ACTING)
            and not any(f"{part}." in f"{name}." for part in _NOT_ACTING)
        }  # fmt: skip
    raise UserError(f"It is not known by which parameters a {type(policy).__name__} acts.")


def acting_layers(policy: Any) -> list[nn.Linear]:
    """Return the linear layers that a policy acts by, from the inputs to the outputs.

    Raises:
        UserError: a class that is not known.
    """
    for places in (
        ("mlp_extractor.policy_net", "action_net"),
        ("actor.latent_pi", "actor.mu"),
        ("actor.mu",),
        ("q_net.q_net",),
    ):
        try:
            modules = [policy.get_submodule(place) for place in places]
        except AttributeError:
            continue
        return [m for part in modules for m in part.modules() if isinstance(m, nn.Linear)]
    raise UserError(f"It is not known by which layers a {type(policy).__name__} acts.")


def target_actors(policy: Any) -> Iterator[Any]:
    """Yield stand-ins for the policy whose actor is a slowly following copy of the actor."""
    for name, attribute in (("actor_target", "actor"), ("q_net_target", "q_net")):
        copy = getattr(policy, name, None)
        if copy is not None:
            holder = nn.Module()
            holder.add_module(attribute, copy)
            yield holder


def _make_policy(
    algo: str,
    policy_kwargs: Mapping[str, Any],
    observation_space: spaces.Space,
    action_space: spaces.Space,
) -> Any:
    """Make a policy as the learner would, without environments, and leave torch's generator."""
    from ctrl.build import policy_settings

    entry = find_algorithm(algo)
    if algo.startswith(_JAX):
        twin = algo.removeprefix(_JAX)
        cure = twin if twin in ALGORITHMS else "sac"
        raise UserError(f"A genome is the parameters of a policy of torch; take {cure}.")
    kind: Any = entry.load()
    needed = _ACTIONS.get(algo)
    if needed is not None and not isinstance(action_space, needed):
        raise UserError(
            f"{algo} gives {needed.__name__} actions, the environment takes "
            f"{type(action_space).__name__}. ppo and a2c take any."
        )
    settings = policy_settings(policy_kwargs)
    name = entry.policy
    if isinstance(observation_space, spaces.Dict):
        name = entry.dict_policy
        if NetHackFeatures.reads(observation_space):
            settings.setdefault("features_extractor_class", NetHackFeatures)
    elif is_image_space(observation_space):
        name = entry.image_policy
    try:
        with torch.random.fork_rng(devices=[]):
            policy = kind.policy_aliases[name](
                observation_space, action_space, lambda _: 0.0, **settings
            )
    except (AssertionError, TypeError, ValueError, NotImplementedError) as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"A policy of {algo} cannot act here: {reason}") from error
    policy.set_training_mode(False)
    return policy


def _row(tensors: Any, i: int) -> Any:
    """Return one column of observations as a batch of one, in memory of its own."""
    if isinstance(tensors, Mapping):
        return {name: values[i : i + 1].clone() for name, values in tensors.items()}
    return tensors[i : i + 1].clone()


@contextmanager
def _unchecked_distributions() -> Iterator[None]:
    """Skip torch's checks of distributions, a third of the time of a small policy."""
    before = torch.distributions.Distribution._validate_args
    torch.distributions.Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        torch.distributions.Distribution.set_default_validate_args(before)
