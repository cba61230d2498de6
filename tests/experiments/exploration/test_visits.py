"""The observer of exploration counts what was there and changes nothing."""

import functools

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

import ctrl
from reward_models.check import check_reward
from reward_models.errors import UserError
from reward_models.rollout import Rollout


@pytest.fixture(scope="module")
def visits(load):
    return load("visits").Visits


def drawn(random, steps=7, columns=3):
    """Return a rollout with places, an event and a score, some steps of it padding."""
    size = (steps, columns)
    flags = torch.as_tensor(random.random((2, *size)) < 0.2)
    mask = torch.as_tensor(random.random(size) < 0.8)
    return Rollout(
        observation=torch.zeros(*size, 1), action=torch.zeros(*size, 1),
        next_observation=torch.zeros(*size, 1), reward=torch.zeros(size),
        terminated=flags[0], truncated=flags[1], mask=mask,
        state={
            "cell": torch.as_tensor(random.integers(-40, 40, size)),
            "spot": torch.as_tensor(random.integers(-2, 3, (*size, 2))),
            "x": torch.as_tensor(random.normal(size=size)),
            "tv": torch.as_tensor(random.integers(0, 2, size)),
            "score": torch.as_tensor(random.normal(size=size)),
        },
    )  # fmt: skip


def real(rollout, name):
    return rollout[f"state.{name}"][rollout.mask].numpy()


@pytest.mark.parametrize(
    ("quantity", "width", "key"),
    [
        ("cell", None, int),
        ("spot", None, lambda v: tuple(v.tolist())),
        ("x", 0.25, lambda v: np.floor(v / 0.25)),
        ("spot", 1.5, lambda v: tuple(np.floor(v / 1.5).tolist())),
    ],
)
def test_distinct_places_are_those_of_a_python_set(visits, quantity, width, key):
    random = np.random.default_rng(0)
    model = visits(quantity=quantity, width=width, out_of=200)
    seen, found = set(), []
    for _ in range(12):
        rollout = drawn(random)
        seen |= {key(value) for value in real(rollout, quantity)}
        metrics = model.update(rollout)
        found.append(metrics["visited"])
        assert metrics["visited"] == len(seen)
        assert metrics["visited_share"] == len(seen) / 200
    assert found[0] < found[-1]


def test_several_quantities_are_one_place(visits):
    random = np.random.default_rng(5)
    model = visits(quantity=["tv", "spot"])
    rollout = drawn(random)
    rows = zip(real(rollout, "tv").tolist(), real(rollout, "spot").tolist(), strict=True)
    assert model.update(rollout)["visited"] == len({(tv, *spot) for tv, spot in rows})


def test_the_window_holds_the_newest_rollouts_that_fill_it(visits):
    random = np.random.default_rng(1)
    model = visits(quantity="cell", events=["tv"], at_end=["score"], window=40)
    rollouts, highest = [], -np.inf
    for _ in range(9):
        rollouts.append(drawn(random))
        metrics = model.update(rollouts[-1])
        kept, steps = [], 0
        for rollout in reversed(rollouts):
            if steps >= 40:
                break
            kept.append(rollout)
            steps += int(rollout.mask.sum())
        events = np.concatenate([real(rollout, "tv") for rollout in kept])
        assert metrics["share_tv"] == pytest.approx(events.mean())
        last = np.concatenate([r["state.score"][r.done & r.mask].numpy() for r in kept])
        assert metrics["last_score"] == pytest.approx(last.mean(), abs=1e-5)
        highest = max(highest, real(rollouts[-1], "score").max())
        assert metrics["highest_score"] == pytest.approx(highest)
    assert len(kept) < len(rollouts)


def test_it_pays_nothing_and_a_rollout_of_padding_changes_nothing(visits):
    random = np.random.default_rng(2)
    model = visits(quantity="cell")
    rollout = drawn(random)
    assert not model(rollout).any()
    nothing = rollout.replace(mask=torch.zeros_like(rollout.mask))
    assert model.update(nothing) == {}
    before = model.update(rollout)
    assert model.update(nothing) == before


def test_a_stored_observer_goes_on_counting(visits, tmp_path):
    random = np.random.default_rng(3)
    options = {"quantity": "spot", "events": ["tv"], "at_end": ["score"], "window": 30}
    model = visits(**options)
    for _ in range(3):
        model.update(drawn(random))
    save_file(model.state_dict(), tmp_path / "state.safetensors")
    other = visits(**options)
    other.load_state_dict(load_file(tmp_path / "state.safetensors"))
    for _ in range(3):
        rollout = drawn(random)
        assert model.update(rollout) == other.update(rollout)
    left, right = model.state_dict(), other.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.0}, "width must be positive"),
        ({"width": float("nan")}, "width must be positive"),
        ({"window": 0}, "window must be positive"),
        ({"out_of": -1}, "out_of must be positive"),
    ],
)
def test_numbers_out_of_range_are_refused(visits, options, message):
    with pytest.raises(UserError, match=message):
        visits(quantity="cell", **options)


def test_real_numbers_need_a_width_and_events_are_single_numbers(visits):
    rollout = drawn(np.random.default_rng(4))
    with pytest.raises(UserError, match="give the width of a bin"):
        visits(quantity="x").update(rollout)
    with pytest.raises(UserError, match="spot must be one number per step"):
        visits(quantity="cell", events=["spot"]).update(rollout)


def test_the_contract_of_rewards_holds(visits):
    box = spaces.Box(-1.0, 1.0, (3,))
    flag = spaces.Discrete(2)
    report = check_reward(
        functools.partial(visits, quantity="cell", events=["tv"], at_end=["tv"]),
        observation_space=box, action_space=box, state={"cell": spaces.Discrete(9), "tv": flag},
    )  # fmt: skip
    assert report.ok, str(report)


def test_with_weight_0_training_is_the_same_to_the_last_bit(visits, tmp_path):
    def weights(name, reward):
        ctrl.train(
            env={"id": "SerpentineMaze-v0", "n_envs": 4},
            algo={"name": "ppo", "n_steps": 32, "batch_size": 64, "n_epochs": 2},
            reward=reward, steps=384, checkpoints={"every": 0}, out=tmp_path / name,
        )  # fmt: skip
        return load_file(tmp_path / name / "final" / "policy.safetensors")

    observer = {"use": "experiments/exploration/visits.py:Visits", "weight": 0,
                "quantity": "state_index"}  # fmt: skip
    plain = weights("plain", {"rnd": 0.5})
    watched = weights("watched", {"rnd": 0.5, "visits": observer})
    other = weights("other", {"rnd": 0.6})
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert any(not torch.equal(plain[name], other[name]) for name in plain)
