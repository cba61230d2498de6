"""A transformer policy with everything that trains it: one call of ``iterate`` is one rollout."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from ctrl.build import Terms, build_mix
from ctrl.config import EnvConfig, TrainConfig
from ctrl.llm.advantages import estimate_advantages
from ctrl.llm.config import language_config
from ctrl.llm.decoding import Decoder
from ctrl.llm.episodes import Episode, EpisodeCollector, expert_episodes
from ctrl.llm.formats import PromptFormat
from ctrl.llm.models import load_transformer
from ctrl.llm.policy import LanguagePolicy, check_logits
from ctrl.llm.record import check_requirements, sequences_of, token_record, turn_record
from ctrl.llm.scoring import score
from ctrl.llm.sequences import Sequences
from ctrl.llm.update import Batch, update_policy
from ctrl.llm.warm_up import draw_tasks, warm_up
from ctrl.objectives.batch_rules import overlong_penalty
from ctrl.objectives.kl import kl_reward
from ctrl.objectives.registry import build_objective
from envs import EnvironmentNameError
from envs.text.registry import make_text
from envs.text.vector import TextVector
from reward_models.base import RewardModel
from reward_models.errors import UserError
from reward_models.rollout import Rollout


@final
class LanguageLearner:
    """Builds the policy, the environments, the mix and the objective of a configuration.

    Args:
        config: the run; ``config.algo`` names a learner of transformer policies.
        terms: reward objects by name, see ``ctrl.train``.

    Attributes:
        policy: the transformer.
        mix: the reward terms.
        steps: environment steps so far: turns that the policy took.
        optimizer: of the policy and of the objective's own parameters.

    Raises:
        UserError: a combination that cannot work, before anything is generated.
    """

    def __init__(self, config: TrainConfig, *, terms: Terms | None = None) -> None:
        from accelerate import Accelerator

        self.config, self.settings = config, language_config(config.algo)
        settings = self.settings
        self.accelerator = Accelerator(
            cpu=config.device == "cpu", mixed_precision=settings.mixed_precision
        )
        rank = self.accelerator.process_index
        model, tokenizer, context = load_transformer(settings.model, seed=config.seed)
        self.policy = LanguagePolicy(
            model, tokenizer, context=context, temperature=settings.temperature,
            critic=settings.needs_value,
        )  # fmt: skip
        check_logits(self.policy)
        self.text = PromptFormat(
            tokenizer, kind=settings.prompt_format, answer_marker=settings.answer_marker,
            stops=_stops(model),
        )  # fmt: skip
        self.slots = min(settings.slots or settings.columns, settings.columns)
        self.vector, self.tasks = build_text(config.env, self.slots, settings.processes)
        self.mix = build_mix(config, env=self.vector, gamma=settings.gamma, terms=terms)
        self.objective = build_objective(config.objective, seed=config.seed)
        if self.accelerator.num_processes > 1:
            if settings.warm_up.share:
                raise UserError(
                    "algo.warm_up.share gives every process another number of expert episodes; "
                    "with several processes say algo.warm_up.episodes."
                )
            self.mix.check_usable("training in several processes", _learning_refusal)
        self._check()
        self.objective.bind(self.policy)
        parameters = [p for p in self.policy.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [{"params": parameters}, {"params": list(self.objective.parameters())}],
            lr=settings.learning_rate, weight_decay=settings.weight_decay,
        )  # fmt: skip
        self.policy.to(self.accelerator.device)
        self.objective.to(self.accelerator.device)
        self._forward = self._prepared()
        self.sampling = torch.Generator(self.accelerator.device)
        self.sampling.manual_seed(config.seed + 1_000_003 * rank)
        self.drawing = torch.Generator().manual_seed(config.seed + 500_009 + rank)
        self.steps = 0
        self.reference: LanguagePolicy | None = None

    def _prepared(self) -> Any:
        """Return the policy's forward pass, through accelerate where processes share gradients."""
        if self.accelerator.num_processes == 1:
            return self.policy
        return self.accelerator.prepare(self.policy)

    # -- what the run asks for ---------------------------------------------------------------

    @property
    def _by_tokens(self) -> bool:
        return self.settings.score == "tokens"

    def _check(self) -> None:
        settings = self.settings
        first = self.vector.reset(0, seed=self.config.seed)
        for what, requires, tokens in (
            ("A reward term", self.mix.requires, self._by_tokens),
            ("A part of the objective", self.objective.requires, True),
        ):
            check_requirements(
                requires, tokens=tokens, critic=settings.needs_value,
                state=first.info["state"], what=what,
            )  # fmt: skip
        needed = len(self.text.first(first.text)) + settings.max_new_tokens
        if needed > self.policy.context:
            raise UserError(
                f"The first text and a turn of {settings.max_new_tokens} tokens have {needed} "
                f"tokens, and the model's context holds {self.policy.context}. Take a larger "
                "algo.model.context, a smaller algo.max_new_tokens or a shorter text."
            )

    @property
    def needs_reference(self) -> bool:
        """Something reads ``ref_log_prob``."""
        asked = self.objective.requires | (self.mix.requires if self._by_tokens else frozenset())
        return self.settings.kl_weight > 0.0 or "ref_log_prob" in asked

    def keep_reference(self) -> None:
        """Take the present policy as the reference, where one is needed."""
        if self.needs_reference and not self.settings.model.lora_rank:
            self.reference = copy.deepcopy(self.policy).requires_grad_(False)

    # -- supervised --------------------------------------------------------------------------

    def warm_up(self, on_epoch: Any = lambda epoch, loss: None) -> list[float]:
        """Learn from the scripted expert; count its turns as steps where it has a share of them."""
        settings = self.settings.warm_up
        if not settings.episodes and not settings.share:
            return []
        episodes: list[Episode] = []
        budget = int(settings.share * self.config.steps)
        turns = 0
        while len(episodes) < settings.episodes or turns < budget:
            wanted = max(settings.episodes - len(episodes), len(self.vector) if budget else 0)
            tasks = draw_tasks(self.tasks, min(wanted, len(self.vector)), self.drawing)
            episodes += expert_episodes(self.vector, self.text, tasks, context=self.policy.context)
            turns = sum(len(episode.replies) for episode in episodes)
        if budget:
            self.steps += turns
        return warm_up(
            self._sequences(episodes), config=settings, policy=self.policy, forward=self._forward,
            backward=self._backward, generator=self.drawing,
            max_grad_norm=self.settings.max_grad_norm, on_epoch=on_epoch,
        )  # fmt: skip

    # -- one rollout -------------------------------------------------------------------------

    def collect(self) -> tuple[list[Episode], dict[str, float]]:
        """Play the episodes of a rollout; with dynamic sampling only groups that are undecided."""
        settings = self.settings
        episodes: list[Episode] = []
        played, rounds = 0, 0
        while True:
            tasks = draw_tasks(self.tasks, settings.prompts, self.drawing)
            size = settings.group_size
            groups = [number for number in range(settings.prompts) for _ in range(size)]
            found = self._collector().collect([tasks[number] for number in groups], groups)
            played += sum(len(episode.replies) for episode in found)
            rounds += 1
            if not settings.dynamic_sampling:
                episodes = found
                break
            spare = found[: settings.columns - len(episodes)]
            for number in range(settings.prompts):
                members = found[number * size : (number + 1) * size]
                if len({episode.success for episode in members}) == 2:
                    episodes += members
            if len(episodes) >= settings.columns or rounds == settings.sampling_rounds:
                # Too few undecided groups: train on what there is, filled up with decided ones.
                episodes = (episodes + spare)[: settings.columns]
                break
        for column, episode in enumerate(episodes):
            episode.group = column // settings.group_size
        self.steps += int(self._total(torch.tensor(played)))
        return episodes, {"rollout/turns": float(played), "rollout/rounds": float(rounds)}

    def iterate(self) -> tuple[dict[str, float], list[Episode]]:
        """Collect a rollout, reward it and update the policy; return metrics and the episodes."""
        episodes, metrics = self.collect()
        sequences = self._sequences(episodes)
        tokens = self._tokens(episodes, sequences)
        turns = None if self._by_tokens else turn_record(episodes, self.mix.requires)
        scored = score(self.mix, tokens, turns, steps=self.steps)
        rewards, keep = self._with_rules(scored.rewards, scored.keep, episodes, tokens)
        bootstrap = self._bootstrap(sequences, episodes) if self.settings.needs_value else None
        estimate = estimate_advantages(self.settings, tokens, rewards, keep, bootstrap=bootstrap)
        advantage = self.objective.shape(tokens, estimate.advantage)
        batch = Batch(sequences, tokens, rewards, replace(estimate, advantage=advantage), keep)
        trained = update_policy(
            batch, config=self.settings, policy=self.policy, forward=self._forward,
            backward=self._backward, optimizer=self.optimizer, objective=self.objective,
            generator=self.drawing, total=self._total,
        )  # fmt: skip
        learned = self.objective.update(tokens)
        metrics |= {**scored.metrics, **trained, **_rates(episodes, tokens)}
        metrics |= {f"objective/{name}": number for name, number in learned.items()}
        return metrics, episodes

    def _with_rules(
        self, rewards: Tensor, keep: Tensor, episodes: list[Episode], tokens: Rollout
    ) -> tuple[Tensor, Tensor]:
        """Apply what DAPO does to long answers, and the divergence as a penalty."""
        settings = self.settings
        if settings.overlong_cache:
            longest = torch.tensor([max(len(r.tokens) for r in e.replies) for e in episodes])
            penalty = overlong_penalty(
                longest, limit=settings.max_new_tokens, cache=settings.overlong_cache
            )
            last = tokens.mask.sum(0, keepdim=True) - 1
            rewards = rewards.scatter_add(0, last, penalty.unsqueeze(0).to(rewards.dtype))
        if settings.mask_cut:
            ended = torch.tensor([episode.replies[-1].ended for episode in episodes])
            keep = keep & ended
        if settings.kl_weight and settings.kl_as == "reward":
            rewards = kl_reward(
                rewards, tokens["log_prob"], tokens["ref_log_prob"], tokens.mask,
                weight=settings.kl_weight,
            )  # fmt: skip
        return rewards, keep

    def _sequences(self, episodes: list[Episode]) -> Sequences:
        return sequences_of(episodes, padding=int(self.policy.tokenizer.pad_token_id))

    def _tokens(self, episodes: list[Episode], sequences: Sequences) -> Rollout:
        reference = self._reference_log_prob(sequences) if self.needs_reference else None
        asked = self.objective.requires | (self.mix.requires if self._by_tokens else frozenset())
        return token_record(
            episodes, sequences, self.text, hidden="hidden" in asked, ref_log_prob=reference
        )

    @torch.no_grad()
    def _reference_log_prob(self, sequences: Sequences) -> Tensor:
        if self.settings.model.lora_rank:
            with self.policy.without_adapters():
                return self._evaluated(self.policy, sequences)
        if self.reference is None:
            raise UserError("There is no reference policy yet: call keep_reference() first.")
        return self._evaluated(self.reference, sequences)

    def _evaluated(self, policy: LanguagePolicy, sequences: Sequences) -> Tensor:
        longest = sequences.mask.shape[0]
        found = torch.zeros(sequences.mask.shape)
        for part in torch.arange(sequences.B).split(self.settings.micro_batch or sequences.B):
            log_prob = policy.evaluate(sequences.columns(part)).log_prob.cpu()
            found[: len(log_prob), part] = log_prob
        return found[:longest]

    @torch.no_grad()
    def _bootstrap(self, sequences: Sequences, episodes: list[Episode]) -> Tensor:
        """Return the critic's value behind the last token of truncated episodes, 0 elsewhere."""
        values = torch.zeros(sequences.B)
        columns = torch.tensor([b for b, e in enumerate(episodes) if not e.terminated])
        for part in columns.split(self.settings.micro_batch or max(len(columns), 1)):
            if len(part):
                values[part] = self.policy.final_values(sequences.columns(part)).cpu()
        return values

    def _collector(self) -> EpisodeCollector:
        wants = self.mix.requires | self.objective.requires
        decoder = Decoder(
            self.policy, max_new_tokens=self.settings.max_new_tokens, stops=self.text.stops,
            generator=self.sampling, keep_hidden="hidden" in wants,
        )  # fmt: skip
        return EpisodeCollector(decoder, self.vector, self.text, context=self.policy.context)

    def _backward(self, loss: Tensor) -> None:
        # Losses are divided by the counts of all processes; their gradients are then averaged.
        self.accelerator.backward(loss * self.accelerator.num_processes)

    def _total(self, count: Tensor) -> Tensor:
        if self.accelerator.num_processes == 1:
            return count
        return self.accelerator.reduce(count.to(self.accelerator.device), "sum").cpu()

    # -- state -------------------------------------------------------------------------------

    def policy_state(self) -> dict[str, Any]:
        """Return what acting needs: weights that are trained, or all of them without adapters."""
        learns = {name for name, p in self.policy.named_parameters() if p.requires_grad}
        only = bool(self.settings.model.lora_rank)
        state = self.policy.state_dict()
        return {"policy": {k: v for k, v in state.items() if not only or k in learns}}

    def state(self) -> dict[str, Any]:
        """Return everything that continuing needs."""
        reference = {} if self.reference is None else dict(self.reference.state_dict())
        return {
            **self.policy_state(),
            "reference": reference,
            "optimizer": self.optimizer.state_dict(),
            "objective": dict(self.objective.state_dict()),
            "mix": dict(self.mix.state_dict()),
            "steps": self.steps,
            "sampling": self.sampling.get_state(),
            "drawing": self.drawing.get_state(),
            "torch": torch.get_rng_state(),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue from ``state``, in a learner of the same configuration."""
        self.restore_policy(tree)
        if tree["reference"]:
            self.reference = copy.deepcopy(self.policy).requires_grad_(False)
            self.reference.load_state_dict(tree["reference"])
        self.optimizer.load_state_dict(tree["optimizer"])
        self.objective.load_state_dict(tree["objective"])
        self.mix.load_state_dict(tree["mix"])
        self.steps = int(tree["steps"])
        self.sampling.set_state(tree["sampling"])
        self.drawing.set_state(tree["drawing"])
        rank = self.accelerator.process_index
        if rank:
            # The checkpoint is the first process's; the others go on with numbers of their own.
            self.sampling.manual_seed(self.config.seed + 1_000_003 * rank + self.steps)
            self.drawing.manual_seed(self.config.seed + 500_009 + rank + self.steps)
        torch.set_rng_state(tree["torch"])

    def restore_policy(self, tree: Mapping[str, Any]) -> None:
        """Take over the weights of ``policy_state``."""
        self.policy.load_state_dict(tree["policy"], strict=not self.settings.model.lora_rank)

    def close(self) -> None:
        """Close the environments."""
        self.vector.close()


def build_text(
    config: EnvConfig, columns: int, processes: int = 0
) -> tuple[TextVector, Sequence[int] | None]:
    """Make the text environments of a configuration.

    Args:
        config: name and options.
        columns: how many.
        processes: worker processes; 0 steps them in this one.

    Returns:
        The environments, and the task numbers that they draw from; None for any.

    Raises:
        UserError: an unknown environment or option, with the nearest valid name.
    """
    make = partial(make_text, config.id, **config.options)
    try:
        one = make()
        one.close()
        return TextVector([make] * columns, workers=processes), one.tasks
    except (EnvironmentNameError, ImportError, ValueError, TypeError) as error:
        raise UserError(str(error)) from error


def _learning_refusal(model: RewardModel) -> str | None:
    """Refuse models that would learn something else in every process."""
    if not model.learns:
        return None
    return "it learns, and every process sees other episodes; train in one process"


def _stops(model: Any) -> frozenset[int]:
    """Return the end tokens that the model's own generation settings name."""
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if ends is None:
        return frozenset()
    return frozenset(ends if isinstance(ends, list | tuple) else [ends])


def _rates(episodes: list[Episode], tokens: Rollout) -> dict[str, float]:
    lengths = tokens.mask.sum(0).float()
    cut = [not reply.ended for episode in episodes for reply in episode.replies]
    valid = [bool(turn.info["valid_command"]) for e in episodes for turn in e.turns[1:]]
    return {
        "rollout/success_rate": sum(e.success for e in episodes) / len(episodes),
        "rollout/tokens": float(lengths.mean()),
        "rollout/turns_without_end": sum(cut) / len(cut),
        "rollout/valid_commands": sum(valid) / len(valid),
        "rollout/cut_by_context": sum(e.cut_by_context for e in episodes) / len(episodes),
        "rollout/entropy": float(tokens["entropy"][tokens.mask].mean()),
    }
