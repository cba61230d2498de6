import copy
import functools

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from reward_models.check import check_reward
from reward_models.checking.samples import sampled_rollouts
from reward_models.errors import UnknownNameError, UserError
from reward_models.mix import RewardMix, Term
from reward_models.progress import HopModel, HopTraining, ProgressReward
from reward_models.refusals import transition_refusal
from reward_models.rollout import Rollout

VECTOR = spaces.Box(-2, 2, (3,), np.float32)


def _reward(exact, **options):
    return ProgressReward(**exact, **{"gamma": 0.9, "gold": "none", **options})


def _discounted(values, gamma=0.9):
    return sum(gamma**t * float(v) for t, v in enumerate(values))


@pytest.fixture
def drawn():
    """Return three rollouts [16, 4] of vectors in arrival order, with ends of every kind."""
    return sampled_rollouts(
        observation_space=VECTOR,
        action_space=spaces.Box(-1, 1, (2,)),
        rng=np.random.default_rng(0),
    )


class TestOracle:
    """Progress 0, .3, .2, .6, .97 with gamma = .9."""

    places = (0.0, 0.3, 0.2, 0.6, 0.97)

    def test_progress_of_exact_hops_is_the_place(self, exact, walk):
        rollout = walk(self.places)
        _, extras = _reward(exact)(rollout)
        torch.testing.assert_close(extras["progress"][:, 0], torch.tensor(self.places[1:]))
        torch.testing.assert_close(extras["confidence"], torch.ones(4, 1))

    def test_naive_difference_pays_for_dwelling(self, exact, walk):
        found = _reward(exact, naive=True)(walk(self.places, ends="terminated"))[0]
        assert _discounted(found) == pytest.approx(0.80373, abs=1e-5)
        phi, gamma, last = self.places, 0.9, 4
        dwelling = (1 - gamma) * sum(gamma ** (t - 1) * phi[t] for t in range(1, last))
        identity = -phi[0] + dwelling + gamma ** (last - 1) * phi[last]
        assert _discounted(found) == pytest.approx(identity, abs=1e-6)

    def test_shaping_telescopes_to_nothing_at_an_end(self, exact, walk):
        found = _reward(exact)(walk(self.places, ends="terminated"))[0]
        assert _discounted(found) == pytest.approx(0.0, abs=1e-6)

    def test_at_a_time_limit_the_progress_is_kept(self, exact, walk):
        """gamma^4 * .97 = .636417, which the bootstrap takes back."""
        for ends in ("truncated", "open"):
            found = _reward(exact)(walk(self.places, ends=ends))[0]
            assert _discounted(found) == pytest.approx(0.636417, abs=1e-6)


class TestGold:
    def test_paid_once_and_the_episode_is_over(self, exact, walk):
        rollout = walk((0.0, 0.5, 0.96, 0.5, 0.99))
        found = _reward(exact, gold="progress")(rollout)[0][:, 0]
        torch.testing.assert_close(found, torch.tensor([0.45, 1.0 - 0.5, 0.0, 0.0]))
        assert _discounted(found) == pytest.approx(0.9)

    def test_looks_at_the_progress_before_it_is_zeroed(self, exact, walk):
        rollout = walk((0.0, 0.5, 0.96), ends="terminated")
        found = _reward(exact, gold="progress")(rollout)[0][:, 0]
        torch.testing.assert_close(found, torch.tensor([0.45, 0.5]))

    def test_delta(self, exact, walk):
        rollout = walk((0.0, 0.5, 0.96))
        assert float(_reward(exact, gold="progress", delta=0.03)(rollout)[0][1]) < 0.9
        assert float(_reward(exact, gold="progress", delta=0.5)(rollout)[0][0]) == 1.0

    def test_a_new_episode_has_its_own(self, exact, walk):
        rollout = walk((0.0, 0.97, 0.5), (0.1, 0.97), ends=("truncated", "open"))
        found = _reward(exact, gold="progress")(rollout)[0][:, 0]
        torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 1.0]))

    def test_success_of_the_environment_goes_first(self, exact, walk):
        rollout = walk((0.0, 0.5, 0.96))
        model = _reward(exact, gold="success")
        assert model.requires == {"success"}
        with pytest.raises(UnknownNameError):
            model(rollout)
        flagged = rollout.replace(success=torch.tensor([True, False])[:, None])
        torch.testing.assert_close(model(flagged)[0][:, 0], torch.tensor([1.0, 0.0]))

    def test_is_remembered_over_rollouts(self, exact, walk):
        model = _reward(exact, gold="progress")
        first, second = walk((0.0, 0.97)), walk((0.97, 0.5, 0.98))
        second = Rollout(continued=torch.tensor([True]), **dict(second.data.items()))
        assert model.update(first)["gold"] == 1.0
        assert not bool(model(second)[0].any())
        assert model.update(second)["gold"] == 0.0


def test_an_episode_cut_into_rollouts_is_paid_the_same(exact, walk):
    places = (0.2, 0.3, 0.25, 0.6, 0.5, 0.9)
    whole = _reward(exact)(walk(places))[0][:, 0]
    model, found = _reward(exact), []
    for start, stop in ((0, 2), (2, 3), (3, 6)):
        piece = walk(places[start : stop + 1] if stop < 6 else places[start:])
        piece = Rollout(continued=torch.tensor([start > 0]), **dict(piece.data.items()))
        found.append(model(piece)[0][:, 0])
        model.update(piece)
    torch.testing.assert_close(torch.cat(found), whole)


def test_forward_hops_begin_where_the_episode_began(exact, walk):
    """From .5 on, F = (q - .5) / .5 of the hop function; from the reference start F = q."""
    rollout = walk((0.5, 0.75))
    for anchor, expected in (("episode", 0.5), ("reference", 0.75)):
        model = _reward(exact, perspectives=("forward",), anchor=anchor)
        assert float(model(rollout)[1]["progress"]) == pytest.approx(expected)


def test_progress_starts_at_nothing_in_every_episode(exact, walk):
    rollout = walk((0.0, 0.8, 0.9), (0.0, 0.1), ends=("truncated", "open"))
    _, extras = _reward(exact)(rollout)
    torch.testing.assert_close(extras["progress"][:, 0], torch.tensor([0.8, 0.9, 0.1]))


def test_padding_is_paid_nothing_and_changes_nothing(exact, walk):
    rollout = walk((0.0, 0.3, 0.4, 0.6))
    mask = torch.tensor([True, True, False])[:, None]
    dirty = rollout.next_observation.clone()
    dirty[2] = float("nan")
    padded = rollout.replace(mask=mask, next_observation=dirty)
    hop = HopModel(observation_space=exact["observation_space"])
    model = ProgressReward(hop_model=hop, observation_space=exact["observation_space"], gamma=0.9)
    found = model(padded)[0][:, 0]
    assert float(found[2]) == 0.0
    torch.testing.assert_close(found[:2], model(rollout)[0][:2, 0])
    model.update(padded)
    assert float(model.memory.progress) == float(model(rollout)[1]["progress"][1])


@pytest.mark.parametrize("gold", ["none", "progress", "success"])
def test_keeps_the_contract(gold):
    build = functools.partial(
        ProgressReward,
        hop_model=HopModel(observation_space=VECTOR, latent_size=8, seed=3),
        gold=gold,
        consistency=1.0,
        delta=0.4,
    )
    report = check_reward(
        build, observation_space=VECTOR, action_space=spaces.Box(-1, 1, (2,)), gamma=0.9
    )
    assert report.ok, report.violations
    assert len(report.passed) > 10


def test_a_checkpoint_inside_an_open_episode_continues_bit_for_bit(drawn, tmp_path):
    def build(seed=0):
        hop = HopModel(observation_space=VECTOR, latent_size=8, seed=seed)
        return ProgressReward(hop_model=hop, observation_space=VECTOR, gamma=0.9, delta=0.4)

    model = build()
    model.update(drawn[0])
    assert bool(drawn[1].continued.any())
    save_file({k: v.clone() for k, v in model.state_dict().items()}, tmp_path / "state.safetensors")
    restored = build(seed=5)
    restored.load_state_dict(load_file(tmp_path / "state.safetensors"))
    for rollout in drawn[1:]:
        assert torch.equal(model(rollout)[0], restored(rollout)[0])
        assert model.update(rollout) == restored.update(rollout)
    assert not torch.equal(build(seed=5)(drawn[1])[0], model(drawn[1])[0])


def test_adapting_in_the_middle_of_an_episode_still_telescopes(drawn):
    """Column 1 is one episode through all rollouts: the sum is gamma^n P_n whatever happens."""
    hop = HopModel(observation_space=VECTOR, latent_size=8, seed=1)
    model = ProgressReward(hop_model=hop, observation_space=VECTOR, gamma=0.95, gold="none")
    total, steps, change = 0.0, 0, 0.0
    demonstration = torch.linspace(-1, 1, 12)[:, None].expand(12, 3)
    for rollout in drawn:
        reward, extras = model(rollout)
        total += sum(0.95 ** (steps + t) * float(reward[t, 1]) for t in range(16))
        steps += 16
        final = float(extras["progress"][-1, 1])
        model.update(rollout)
        metrics = model.adapt(demonstration, HopTraining(epochs=5, swap_probability=0.0))
        change = max(
            change, float((model(rollout)[1]["progress"] - extras["progress"]).abs().max())
        )
        assert metrics["loss"] < 1.0
    assert change > 0.05
    assert total == pytest.approx(0.95**steps * final, abs=1e-4)


def test_one_demonstration_teaches_another_goal():
    space = spaces.Box(-1, 1, (2,), np.float32)
    line = torch.linspace(0, 1, 16)[:, None]
    right, up = line * torch.tensor([1.0, 0.0]), line * torch.tensor([0.0, 1.0])
    hop = HopModel(observation_space=space, latent_size=16)
    HopTraining(epochs=60, learning_rate=3e-3).fit(hop, [right])
    model = ProgressReward(hop_model=hop, observation_space=space, gamma=0.9, gold="none")

    def progress(path):
        flags = torch.zeros(15, 1, dtype=torch.bool)
        rollout = Rollout(
            observation=path[:-1, None], next_observation=path[1:, None],
            action=torch.zeros(15, 1), reward=torch.zeros(15, 1), terminated=flags, truncated=flags,
        )  # fmt: skip
        return model(rollout)[1]["progress"][:, 0]

    before = float(progress(up)[-1])
    assert float(progress(right)[-1]) > 0.9
    assert model.adapt(up)["loss"] < 0.02
    assert torch.equal(model.observer.goal, up[-1])
    assert float(progress(up)[-1]) > max(0.9, before + 0.1)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_calling_changes_nothing(drawn):
    model = ProgressReward(
        hop_model=HopModel(observation_space=VECTOR), observation_space=VECTOR, gamma=0.9
    )
    model.update(drawn[0])
    state = copy.deepcopy(model.state_dict())
    first = model(drawn[1])[0]
    assert torch.equal(first, model(drawn[1])[0])
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_views_under_a_key_of_a_dict(exact, walk):
    rollout = walk((0.0, 0.4))
    keyed = rollout.replace(
        observation={"view": rollout.observation},
        next_observation={"view": rollout.next_observation},
    )
    space = spaces.Dict({"view": exact["observation_space"]})
    model = _reward({**exact, "observation_space": space}, key="view")
    assert torch.equal(model(keyed)[0], _reward(exact)(rollout)[0])
    with pytest.raises(UserError, match="key='view' needs dict"):
        model(rollout)


def test_in_a_mix_with_the_learners_discount(exact, walk):
    mix = RewardMix({"progress": Term(ProgressReward(**exact))}, gamma=0.8)
    assert mix.models["progress"].gamma == 0.8
    mixed, metrics = mix.collect(walk((0.0, 0.5, 0.97), ends="terminated"), steps=2)
    torch.testing.assert_close(mixed.total[:, 0], torch.tensor([0.4, 0.5]))
    assert metrics["progress/progress_at_end"] == pytest.approx(0.97)
    with pytest.raises(UserError, match=r"built with gamma=0\.8"):
        mix.models["progress"].bind_discount(0.9)


def test_it_is_refused_where_steps_come_out_of_order(exact):
    assert "memory of the running episode" in str(transition_refusal(_reward(exact)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"gold": "sucess"}, UnknownNameError, "Did you mean 'success'"),
        ({"anchor": "begin"}, UnknownNameError, "anchor"),
        ({"perspectives": ["foward"]}, UnknownNameError, "Did you mean 'forward'"),
        ({"delta": 1.0}, UserError, "delta"),
        ({"gamma": 1.1}, UserError, "gamma"),
        ({"hop_model": "nowhere"}, UserError, "no hop model in nowhere"),
        ({"key": "view"}, UserError, "needs Dict observations"),
        ({"reference_goal": None}, UserError, "needs reference_start and reference_goal"),
        ({"reference_goal": torch.ones(2)}, UserError, "must be one observation"),
        ({"hop_model": HopModel(observation_space=VECTOR)}, UserError, "was trained on"),
    ],
)
def test_what_cannot_work_is_refused(exact, options, error, message):
    with pytest.raises(error, match=message):
        ProgressReward(**{**exact, **options})


def test_a_function_that_is_no_hop_is_named(exact, walk):
    for function, message in (
        (lambda start, goal, before, after: after, "one number per pair"),
        (lambda start, goal, before, after: 2.0 + after[:, 0], r"numbers in \[-1, 1\]"),
    ):
        with pytest.raises(UserError, match=message):
            _reward({**exact, "hop_model": function})(walk((0.0, 0.5)))
    with pytest.raises(UserError, match="Only a HopModel"):
        _reward(exact).adapt(torch.zeros(5, 1))
    with pytest.raises(UserError, match="has no gamma"):
        ProgressReward(**exact)(walk((0.0, 0.5)))
