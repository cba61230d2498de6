"""Reward prediction: labels, cross entropy, windows and where its gradient goes."""

import pytest
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from ctrl.config import PartConfig
from ctrl.objectives.auxiliary.reward_prediction import RewardPrediction, reward_labels
from ctrl.objectives.registry import build_objective
from reward_models.errors import UnknownNameError, UserError


def bound(policy, **options):
    torch.manual_seed(1)
    term = RewardPrediction(**options)
    term.bind(policy)
    return term


def test_the_labels_of_the_page_are_positive_negative_zero():
    rewards = torch.tensor([0.01, -0.006, 0.005, -0.004, 0.0])
    labels = reward_labels(rewards, 0.005)
    assert labels.tolist() == [0, 1, 2, 2, 2]
    logits = torch.tensor([(2.0, 0, 0), (0, 1, 0), (0, 0, 3), (0, 0, 3), (1, 1, 1)])
    loss = torch.nn.functional.cross_entropy(logits, labels)
    assert float(loss) == pytest.approx(0.415890, abs=1e-6)


def test_that_the_term_is_the_cross_entropy_of_its_logits(policy, batch, observed):
    torch.manual_seed(3)
    total = torch.randn(6, 2) * 0.01
    done = torch.zeros(6, 2, dtype=torch.bool)
    done[2, 1] = True
    seen = observed(6, 2)
    term = bound(policy, window=3)
    rollout, output = batch(seen, total, done)
    loss, metrics = term(rollout, output)
    source = output.source
    logits = term.logits(
        policy.actor_attention, source.rollout, seen, source.time.flatten(),
        source.column.flatten(),
    )  # fmt: skip
    label = reward_labels(total.flatten(), 0.005)
    assert float(loss.detach()) == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, label).detach())
    )
    assert metrics["accuracy"] == pytest.approx(float((logits.argmax(1) == label).float().mean()))
    assert metrics["positive"] == pytest.approx(float((total > 0.005).float().mean()))
    shares = [metrics[name] for name in ("positive", "negative", "zero")]
    assert sum(shares) == pytest.approx(1.0)
    assert metrics["majority"] == pytest.approx(max(shares))


def test_that_shared_steps_are_embedded_once_and_give_what_single_windows_give(
    policy, batch, observed
):
    done = torch.zeros(9, 2, dtype=torch.bool)
    done[3, 0] = done[6, 1] = True
    seen = observed(9, 2)
    term = bound(policy, window=4)
    _, output = batch(seen, torch.zeros(9, 2), done)
    source, actor = output.source, policy.actor_attention
    time, column = source.time.flatten(), source.column.flatten()
    together = term.logits(actor, source.rollout, seen, time, column)
    for place in range(len(time)):
        t, b = int(time[place]), int(column[place])
        first = t
        while first > max(0, t - 3) and not done[first - 1, b]:
            first -= 1
        missing = 4 - (t + 1 - first)
        steps = {
            key: torch.cat((rows.new_zeros(missing, *rows.shape[2:]), rows[first : t + 1, b]))
            for key, rows in seen.items()
        }
        embedded = actor.embed(steps)
        window = term.look(embedded.query, embedded)
        _, (last, _) = term.memory(window)
        torch.testing.assert_close(term.head(last[0])[0], together[place], atol=1e-5, rtol=1e-4)


def test_that_another_episode_and_a_later_step_change_nothing(policy, batch, observed):
    done = torch.zeros(8, 2, dtype=torch.bool)
    done[3, 0] = True
    term = bound(policy, window=20)
    row = [(5, 0)]

    def logits(change):
        seen = observed(8, 2)
        for t, b in change:
            seen["query"][t, b] += 10.0
            seen["entities"][t, b] -= 10.0
        _, output = batch(seen, torch.zeros(8, 2), done, row)
        s = output.source
        return term.logits(
            policy.actor_attention, s.rollout, seen, s.time.flatten(), s.column.flatten()
        )

    plain = logits([])
    others = [(t, 0) for t in (0, 1, 2, 3, 6, 7)] + [(t, 1) for t in range(8)]
    assert torch.equal(logits(others), plain)
    for inside in (4, 5):
        assert not torch.allclose(logits([(inside, 0)]), plain)


def test_where_its_gradient_goes(policy, batch, observed):
    term = bound(policy)
    total = torch.tensor([[0.1], [-0.1], [0.0]])
    loss, _ = term(*batch(observed(3, 1), total, torch.zeros(3, 1, dtype=torch.bool)))
    loss.backward()
    actor = policy.actor_attention
    acts = [*actor.query_embedding.parameters(), *actor.entity_embedding.parameters()]
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in acts)
    assert all(bool(p.grad.abs().sum() > 0) for p in term.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in term.parameters())
    touched = {id(p) for p in acts}
    rest = [p for p in policy.parameters() if id(p) not in touched]
    assert rest
    assert all(p.grad is None for p in rest)


def test_that_a_small_last_minibatch_works(policy, batch, observed):
    done = torch.zeros(5, 3, dtype=torch.bool)
    for rows in ([(4, 2)], [(0, 0), (3, 1)]):
        loss, _ = bound(policy)(*batch(observed(5, 3), torch.zeros(5, 3), done, rows))
        assert loss.shape == ()
        assert loss.isfinite()


def test_that_it_learns_a_reward_that_only_the_past_tells(policy, batch, observed):
    """The sign of the reward is that of the observation two steps earlier."""
    generator = torch.Generator().manual_seed(4)
    number = torch.randn(40, 8, generator=generator).sign()
    total = torch.zeros(40, 8)
    total[2:] = number[:-2]
    done = torch.zeros(40, 8, dtype=torch.bool)
    rows = [(t, b) for t in range(2, 40) for b in range(8)]
    accuracy = {}
    for window in (1, 3):
        term = bound(policy, window=window)
        optimiser = torch.optim.Adam([*policy.parameters(), *term.parameters()], lr=1e-2)
        for _ in range(40):
            loss, metrics = term(*batch(observed(40, 8, number), total, done, rows))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        accuracy[window] = metrics["accuracy"]
    assert accuracy[3] > 0.95
    assert accuracy[1] < 0.7


def test_what_is_refused(policy):
    for options in ({"window": 0}, {"threshold": -0.1}, {"hidden": 0}):
        with pytest.raises(UserError, match="reward_prediction needs"):
            RewardPrediction(**options)
    from gymnasium import spaces

    plain = ActorCriticPolicy(spaces.Box(-1, 1, (3,)), spaces.Discrete(2), lambda _: 1e-3)
    with pytest.raises(UserError, match=r"reward_prediction .*ActorCriticPolicy has none"):
        RewardPrediction().bind(plain)
    with pytest.raises(UnknownNameError, match="threshold"):
        build_objective({"rp": PartConfig("reward_prediction", options={"treshold": 1})})
