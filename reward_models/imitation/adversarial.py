"""Adversarial imitation: the reward is how much a step looks like what the expert does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import final

import torch
from gymnasium import spaces
from jaxtyping import Float, Int
from torch import Tensor

from reward_models.base import Order, RewardModel
from reward_models.curiosity.networks import in_chunks
from reward_models.curiosity.training import Losses, MinibatchTrainer
from reward_models.encoders import Encoder
from reward_models.errors import UnknownNameError, UserError
from reward_models.imitation.discriminator import Discriminator
from reward_models.imitation.episode_lengths import EpisodeLengths, length_separation
from reward_models.imitation.expert import Source, read_expert
from reward_models.imitation.labels import LabelSmoothing
from reward_models.imitation.lipschitz import validity
from reward_models.imitation.losses import (
    LOSSES,
    bernoulli_entropy,
    positive_negative_loss,
    positive_unlabelled_loss,
)
from reward_models.imitation.pairs import PairCode, PairMemory, Pairs, chosen_numbers
from reward_models.imitation.penalties import (
    POINTS,
    gradient_norm,
    gradient_penalty,
    penalised_points,
)
from reward_models.imitation.reward_forms import SIGNS, check_form, reward_of, slope_of
from reward_models.potential import bound_discount, known_discount
from reward_models.rollout import Rollout

_LOG = logging.getLogger(__name__)
_TRANSITIONS_PER_STEP = 4
_SLACK = 1.1


@final
class AdversarialImitation(RewardModel):
    """Generative adversarial imitation with a Lipschitz-regularised discriminator.

    Ho and Ermon (2016) as made to work off policy by Kostrikov et al. (2019, DAC) and by Blondé,
    Strasser and Kalousis (2022, arXiv 2006.16785), who find that the gradient penalty decides. A
    discriminator D learns to give pairs of observation and action high logits where they are the
    expert's and low ones where they are the policy's; the reward is a function of the logit
    (`reward_forms`), by default ``-log(1 - sigmoid(D(s, a)))``. Each of its steps minimises, over
    ``batch_size`` pairs of either kind,

    ``loss(D(x_p), D(x_e)) - entropy_weight H(sigmoid(D)) + penalty_weight pen(||grad D(x)||)``

    with the gradient of the logit with respect to both parts of the input. It learns before the
    fresh steps are rewarded, and replayed transitions are rewarded by the present D. The policy's
    pairs are drawn from the last ``memory`` ones, as from a replay buffer.

    Vectors and discrete observations are read as they are, so that the penalty acts on their own
    numbers. Dictionaries with pictures, codes or text, images, and what an ``encoder`` reads are
    encoded by a network that is trained with D: there the penalty bounds D as a function of the
    encoded features, and of how fast these change it knows nothing.

    Where episodes can terminate, every reward of one sign is biased (see `reward_forms`). With
    ``absorbing`` a terminated episode is taken to stay in one absorbing state for ever: D sees
    indicators of it, learns one pair of it for every end of the policy's and of the expert's
    episodes, and the last step is paid ``r(s, a) + gamma / (1 - gamma) r(absorbing)``, the
    discounted reward of staying there under the present D. DAC stores transitions of the absorbing
    state instead and learns their value; this needs no other learner and no other buffer, and has
    no error of estimation. A truncated episode has no absorbing state.

    Everything is computed in float32, under ``torch.autocast`` too.

    Args:
        demonstrations: folder of a data set (`reward_models.demonstrations`), demonstrations, or a
            `Rollout` of the expert.
        observation_space: of one environment.
        action_space: of one environment.
        state_only: compare pairs of observation and successor; the expert's actions are not read.
        form: ``minimax`` (never negative), ``sum`` or ``nonsat`` (never positive).
        loss: ``pn`` (both kinds labelled) or ``purl`` (the policy's unlabelled; an ablation).
        eta: of ``purl``, in [0, 1].
        penalty: where the gradient is penalised (`penalties`): ``wgan``, ``dragan``, ``nagard``,
            ``bare``, or ``none``.
        penalty_weight: at least 0.
        penalty_target: k, positive.
        one_sided: penalise only gradients above k. Always so for ``bare``.
        noise_std: of ``dragan`` and ``nagard``, in units of the input.
        spectral_norm: on both hidden layers of D.
        real_labels: smoothing of the expert's labels (`labels`).
        fake_labels: of the policy's.
        entropy_weight: of the entropy bonus, at least 0.
        absorbing: see above; needs a discount below 1.
        one_hot_actions: accept discrete actions, as zeros and ones.
        clamp: bound of every number D reads; 5 in the paper's code, None for none.
        normalize_observations: by mean and deviation of the expert's observations, fixed, the same
            for expert and policy, clipped to [-5, 5].
        encoder: of observations; None takes the one that fits.
        keys: keys of a Dict observation to read.
        latent_size: features of the encoder, where one is made.
        hidden_size: of both hidden layers.
        learning_rate: of Adam.
        batch_size: pairs of either kind in a step.
        steps: gradient steps per update; None for one per 4 fresh transitions.
        memory: policy pairs to learn from; None for the paper's 100,000 or as many as fit 256 MiB,
            0 for the fresh rollout alone, which suits learners on policy.
        count: how many demonstrations to use, the first ones.
        every: use every so many steps of each.
        gamma: the learner's discount; None takes it from the mix.
        seed: of weights and of everything drawn.

    Raises:
        UserError: a number out of its range, discrete actions without ``one_hot_actions``, or
            demonstrations that cannot be used.
        UnknownNameError: no such form, loss or penalty.
    """

    order = Order.UPDATE_FIRST
    goal_relabelling = True

    generator_state: Tensor
    length_auc: Tensor
    terminated: Tensor

    def __init__(
        self,
        *,
        demonstrations: Source,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        state_only: bool = False,
        form: str = "minimax",
        loss: str = "pn",
        eta: float = 0.25,
        penalty: str = "wgan",
        penalty_weight: float = 10.0,
        penalty_target: float = 1.0,
        one_sided: bool = True,
        noise_std: float = 10.0,
        spectral_norm: bool = True,
        real_labels: str = "random-uniform_0.7_1.2",
        fake_labels: str = "none",
        entropy_weight: float = 0.001,
        absorbing: bool = False,
        one_hot_actions: bool = False,
        clamp: float | None = None,
        normalize_observations: bool = False,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        latent_size: int = 128,
        hidden_size: int = 100,
        learning_rate: float = 5e-4,
        batch_size: int = 128,
        steps: int | None = None,
        memory: int | None = None,
        count: int | None = None,
        every: int = 1,
        gamma: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_form(form)
        for name, value, valid in (("loss", loss, LOSSES), ("penalty", penalty, POINTS)):
            if value not in valid:
                raise UnknownNameError(name, value, valid)
        for name, number, least in (
            ("penalty_weight", penalty_weight, 0.0),
            ("entropy_weight", entropy_weight, 0.0),
            ("noise_std", noise_std, 0.0),
            ("steps", 1 if steps is None else steps, 1),
            ("memory", 0 if memory is None else memory, 0),
        ):
            if not least <= number < float("inf"):
                raise UserError(f"{name} must be at least {least:g} and finite, got {number}.")
        if not 0.0 <= eta <= 1.0:
            raise UserError(f"eta must lie in [0, 1], got {eta}.")
        gradient_penalty(torch.zeros(1), target=penalty_target)  # refuses a wrong target
        self.form, self.loss, self.eta = form, loss, eta
        self.penalty, self.penalty_weight = penalty, penalty_weight
        self.penalty_target = penalty_target
        self.one_sided, self.noise_std = one_sided or penalty == "bare", noise_std
        self.real_labels, self.fake_labels = (
            LabelSmoothing(real_labels),
            LabelSmoothing(fake_labels),
        )
        self.entropy_weight, self.absorbing, self.steps = entropy_weight, absorbing, steps
        self.gamma = gamma if gamma is None else _usable_discount(gamma, absorbing)
        self.code = PairCode(
            encoder=chosen_numbers(encoder, observation_space, latent_size, keys, seed),
            action_space=action_space,
            state_only=state_only,
            absorbing=absorbing,
            one_hot_actions=one_hot_actions,
            normalize=normalize_observations,
            clamp=clamp,
        )
        self.expert = read_expert(
            demonstrations, code=self.code, action_space=action_space, count=count, every=every,
            seed=seed,
        )  # fmt: skip
        self.code.learn_scale(self.expert.pairs)
        self.discriminator = Discriminator(
            input_size=self.code.size, hidden_size=hidden_size, spectral=spectral_norm, seed=seed
        )
        self.trainer = MinibatchTrainer(
            [*self.discriminator.parameters(), *self.code.parameters()],
            learning_rate=learning_rate,
            batch_size=batch_size,
            seed=seed,
        )
        capacity = self.code.memory_rows(memory)
        self.memory = PairMemory(code=self.code, capacity=capacity) if capacity else None
        self.lengths = EpisodeLengths()
        self.register_buffer("length_auc", torch.full((), torch.nan))
        self.register_buffer("terminated", torch.zeros((), dtype=torch.bool))
        # Another stream than the trainer's shuffling, which has the seed itself.
        self.register_buffer("generator_state", torch.Generator().manual_seed(seed + 1).get_state())
        self._warned: set[str] = set()
        self.requires = self.code.encoder.requires
        self.replayable = self.code.encoder.replayable or not state_only

    def bind_discount(self, gamma: float) -> None:
        """Take over the learner's discount, which only ``absorbing`` uses.

        Raises:
            UserError: built for another one, or 1 with ``absorbing``.
        """
        if self.absorbing:
            self.gamma = _usable_discount(bound_discount(self, self.gamma, gamma), True)

    # -- reward -----------------------------------------------------------------------------

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the reward of every step; with ``defined`` where the successor may lack."""
        with torch.autocast(rollout.device.type, enabled=False):
            pairs, known = self.code.steps(rollout)
            size = (rollout.T, rollout.B)
            reward = reward_of(self._logits(pairs), self.form).reshape(size)
            if self.absorbing:
                row = self.code.absorbing_row().to(rollout.device)
                staying = reward_of(self.discriminator(row), self.form)
                gamma = known_discount(self, self.gamma)
                after = gamma / (1.0 - gamma) * staying
                reward = torch.where(rollout.terminated, reward + after, reward)
        return reward if self.replayable else (reward, {"defined": known})

    def gradient_norms(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return ``||grad D||`` at every step, with respect to what D reads."""
        with torch.no_grad(), torch.autocast(rollout.device.type, enabled=False):
            rows = self.code(self.code.steps(rollout)[0])
            _, gradients = self.discriminator.with_gradient(rows)
        return gradient_norm(gradients).reshape(rollout.T, rollout.B)

    def _logits(self, pairs: Pairs) -> Float[Tensor, " N"]:
        layers = self.discriminator.layers()

        def logits(first: object, second: object, absorbing: Tensor) -> Tensor:
            return self.discriminator(self.code(Pairs(first, second, absorbing)), layers)

        return in_chunks(logits, pairs.first, pairs.second, pairs.absorbing)

    # -- learning ---------------------------------------------------------------------------

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Remember the policy's real steps and train D; ``{}`` when there are none.

        Returns:
            Means over the minibatches: ``loss``, ``penalty`` (unweighted), ``expert_accuracy`` and
            ``policy_accuracy`` (logits above and below 0). On the fresh transitions: ``gradient``
            (||grad D||), ``reward_gradient`` (||grad r||) and ``c_validity`` (share of gradients up
            to 1.1 k). ``survival_bias``: 1 when episodes terminate and the sign of the reward meets
            no absorbing state. ``length_auc`` once both sides have whole episodes, see
            `episode_lengths`.

        Raises:
            UserError: an observation or an action is NaN or infinite.
        """
        fresh = self.code.pairs(rollout)
        count = int(rollout.mask.sum())
        found = self._horizon(rollout)
        if not len(fresh):
            return {}
        with torch.autocast(rollout.device.type, enabled=False):
            pool = fresh if self.memory is None else self.memory.add(self.code, fresh)
            found.update(self._learn(pool, self.steps or max(count // _TRANSITIONS_PER_STEP, 1)))
            found.update(self._steepness(fresh))
        return found

    def _learn(self, pool: Pairs, steps: int) -> dict[str, float]:
        generator = torch.Generator()
        generator.set_state(self.generator_state.cpu())
        expert = self.expert.pairs.to(pool.absorbing.device)
        size = (steps * self.trainer.batch_size,)
        picked = tuple(
            torch.randint(len(source), size, generator=generator).to(pool.absorbing.device)
            for source in (pool, expert)
        )
        losses = partial(self._losses, pool, expert, generator)
        found = self.trainer.minimize(picked, losses)
        self.generator_state.copy_(generator.get_state())
        return found

    def _losses(
        self,
        pool: Pairs,
        expert_pairs: Pairs,
        generator: torch.Generator,
        policy_rows: Int[Tensor, " n"],
        expert_rows: Int[Tensor, " n"],
    ) -> Losses:
        layers = self.discriminator.layers(advance=True)
        policy = self.code(pool.pick(policy_rows))
        expert = self.code(expert_pairs.pick(expert_rows))
        logits = self.discriminator(torch.cat([policy, expert]), layers)
        of_policy, of_expert = logits.chunk(2)
        if self.loss == "purl":
            loss = positive_unlabelled_loss(of_policy, of_expert, self.eta)
        else:
            zeros = torch.zeros_like(of_policy)
            labels = (self.fake_labels(zeros, generator), self.real_labels(zeros + 1.0, generator))
            loss = positive_negative_loss(of_policy, of_expert, *labels)
        if self.entropy_weight:
            entropy = bernoulli_entropy(logits).reshape(2, -1).mean(0)
            loss = loss - self.entropy_weight * entropy
        found = {
            "expert_accuracy": (of_expert > 0).float(),
            "policy_accuracy": (of_policy < 0).float(),
        }
        if self.penalty != "none" and self.penalty_weight:
            points = penalised_points(
                self.penalty, policy=policy, expert=expert, split=self.code.split,
                generator=generator, noise_std=self.noise_std,
            )  # fmt: skip
            _, gradients = self.discriminator.with_gradient(points, layers)
            found["penalty"] = gradient_penalty(
                gradient_norm(gradients), target=self.penalty_target, one_sided=self.one_sided
            )
            loss = loss + self.penalty_weight * found["penalty"]
        return {"loss": loss, **found}

    @torch.no_grad()
    def _steepness(self, fresh: Pairs) -> dict[str, float]:
        """Return the metrics of gradients on fresh pairs, those of absorbing states left out."""
        rows = self.code(fresh.pick(~fresh.absorbing[:, 0]))
        logits, gradients = self.discriminator.with_gradient(rows)
        norms = gradient_norm(gradients)
        return {
            "gradient": float(norms.mean()),
            "reward_gradient": float((slope_of(logits, self.form) * norms).mean()),
            "c_validity": validity(norms, _SLACK * self.penalty_target),
        }

    # -- ends of episodes -------------------------------------------------------------------

    def _horizon(self, rollout: Rollout) -> dict[str, float]:
        """Watch how episodes end and how long they are; return the metrics of both."""
        self.terminated |= (rollout.terminated & rollout.mask).any()
        biased = bool(self.terminated) and SIGNS[self.form] != 0 and not self.absorbing
        if biased:
            longer = "go on for long" if SIGNS[self.form] > 0 else "end early"
            self._warn(
                "survival bias",
                f"Episodes terminate here and the reward form {self.form!r} has one sign, which "
                f"pays a policy to {longer}, whatever the expert does. Set absorbing: true.",
            )
        found = {"survival_bias": float(biased)}
        if self.lengths.update(rollout) and self.expert.lengths:
            separation = length_separation(self.lengths.lengths(), self.expert.lengths)
            self.length_auc.fill_(separation.auc)
            if separation.leaks:
                self._warn(
                    "variable horizon",
                    "The lengths of episodes alone tell the agent from the expert (area under the "
                    f"ROC curve {separation.auc:.2f}, p = {separation.p_value:.1g}). A return may "
                    "then only say how long the agent lives; look at the return per step, or "
                    "under a fixed horizon.",
                )
        if not bool(self.length_auc.isnan()):
            found["length_auc"] = float(self.length_auc)
        return found

    def _warn(self, name: str, message: str) -> None:
        """Log a warning, once for each name."""
        if name not in self._warned:
            self._warned.add(name)
            _LOG.warning("Imitation, %s: %s", name, message)


def _usable_discount(gamma: float, absorbing: bool) -> float:
    if not 0.0 <= gamma <= 1.0:
        raise UserError(f"gamma must lie in [0, 1], got {gamma}.")
    if absorbing and gamma == 1.0:
        raise UserError(
            "absorbing: true pays the discounted reward of staying at the end for ever, which a "
            "discount of 1 makes infinite. Use a discount below 1, or absorbing: false."
        )
    return gamma
