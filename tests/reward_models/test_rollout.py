import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Episode, Rollout


def flags(text: str) -> torch.Tensor:
    """Read ``[T, B]`` flags; a row per time step, ``x`` for true."""
    return torch.tensor([[char == "x" for char in row] for row in text.split()])


def make(steps=3, columns=2, **entries):
    size = (steps, columns)
    core = {
        "observation": torch.arange(steps * columns * 4, dtype=torch.float32).reshape(*size, 4),
        "action": torch.zeros(*size, 1),
        "next_observation": torch.ones(*size, 4),
        "reward": torch.ones(size),
        "terminated": torch.zeros(size, dtype=torch.bool),
        "truncated": torch.zeros(size, dtype=torch.bool),
    }
    return Rollout(**{**core, **entries})


class TestConstruction:
    def test_entries_get_their_dtypes(self):
        rollout = make(
            reward=np.ones((3, 2), dtype=np.float64),
            terminated=np.zeros((3, 2), dtype=np.int64),
            turn=np.ones((3, 2), dtype=np.int32),
            success=np.ones((3, 2), dtype=np.uint8),
            value=np.ones((3, 2)),
        )
        assert rollout.reward.dtype == torch.float32
        assert rollout.terminated.dtype == torch.bool
        assert rollout["turn"].dtype == torch.int64
        assert rollout["success"].dtype == torch.bool
        assert rollout["value"].dtype == torch.float32

    def test_observations_keep_theirs(self):
        text = torch.zeros(3, 2, 10, dtype=torch.uint8)
        rollout = make(observation={"text": text, "at": torch.zeros(3, 2, dtype=torch.float64)})
        assert rollout["observation.text"].dtype == torch.uint8
        assert rollout["observation.at"].dtype == torch.float64

    def test_mask_and_continued_have_defaults(self):
        rollout = make()
        assert rollout.mask.all()
        assert not rollout.continued.any()

    def test_unknown_key_names_the_nearest(self):
        with pytest.raises(UnknownNameError, match="Did you mean 'log_prob'"):
            make(log_probs=torch.zeros(3, 2))

    @pytest.mark.parametrize(
        ("entries", "message"),
        [
            ({"action": torch.zeros(2, 3)}, r"'action' must start with \[T, B\] = \[3, 2\]"),
            ({"observation": {"a": torch.zeros(3)}}, r"'observation.a' must start with"),
            ({"reward": torch.zeros(3)}, r"reward must be \[T, B\], got shape \(3,\)"),
            ({"continued": torch.zeros(3)}, r"continued must be \[B\] = \[2\]"),
            ({"action": ["up", "down"]}, "'action' must be a tensor"),
        ],
    )
    def test_wrong_sizes_are_named(self, entries, message):
        with pytest.raises(UserError, match=message):
            make(**entries)


class TestReading:
    def test_sizes(self):
        rollout = make(steps=5, columns=3)
        assert (rollout.T, rollout.B) == (5, 3)
        assert "T=5, B=3" in repr(rollout)

    def test_dots_reach_into_nested_entries(self):
        rollout = make(state={"ball": {"x": torch.ones(3, 2)}})
        assert rollout["state.ball.x"].sum() == 6
        assert "state.ball.x" in rollout
        assert "state.ball.y" not in rollout
        assert "value" not in rollout
        assert "observation.x" not in rollout
        assert {"state", "state.ball", "state.ball.x"} <= rollout.keys()

    def test_missing_entry_names_the_nearest(self):
        rollout = make(state={"x_velocity": torch.ones(3, 2)})
        with pytest.raises(UnknownNameError, match=r"Did you mean 'state.x_velocity'"):
            rollout["state.x_velocty"]

    def test_done_is_either_end(self):
        rollout = make(terminated=flags("x. .. .."), truncated=flags(".. .x .."))
        assert torch.equal(rollout.done, flags("x. .x .."))

    def test_replace_shares_the_others_and_drops_none(self):
        rollout = make(value=torch.ones(3, 2), continued=torch.tensor([True, False]))
        other = rollout.replace(reward=torch.zeros(3, 2), value=None)
        assert other.reward.sum() == 0
        assert rollout.reward.sum() == 6
        assert "value" not in other
        assert other.observation.data_ptr() == rollout.observation.data_ptr()
        assert torch.equal(other.continued, rollout.continued)

    def test_detach_cuts_the_graph(self):
        hidden = torch.ones(3, 2, 4, requires_grad=True) * 2
        rollout = make(hidden=hidden)
        assert rollout["hidden"].requires_grad
        assert not rollout.detach()["hidden"].requires_grad


class TestEpisodes:
    def test_cut_at_ends_column_by_column(self):
        rollout = make(
            steps=5, terminated=flags(".. x. .. .. .."), truncated=flags(".. .. .. .. x.")
        )
        assert rollout.episodes() == [
            Episode(0, 0, 2, open_start=False, open_end=False),
            Episode(0, 2, 5, open_start=False, open_end=False),
            Episode(1, 0, 5, open_start=False, open_end=True),
        ]

    def test_only_the_first_piece_continues_an_earlier_one(self):
        rollout = make(terminated=flags(".. xx .."), continued=torch.tensor([True, False]))
        starts = [(e.column, e.start, e.open_start) for e in rollout.episodes()]
        assert starts == [(0, 0, True), (0, 2, False), (1, 0, False), (1, 2, False)]
        assert all(type(e.open_start) is bool for e in rollout.episodes())

    def test_padding_ends_an_episode_and_belongs_to_none(self):
        rollout = make(
            steps=6, columns=1, mask=flags(". x x . x ."), continued=torch.tensor([True])
        )
        assert rollout.episodes() == [
            Episode(0, 1, 3, open_start=True, open_end=True),
            Episode(0, 4, 5, open_start=False, open_end=True),
        ]

    def test_end_flags_on_padding_are_ignored(self):
        rollout = make(steps=3, columns=1, mask=flags("x . x"), terminated=flags(". x ."))
        pieces = [(e.start, e.stop, e.open_end) for e in rollout.episodes()]
        assert pieces == [(0, 1, True), (2, 3, True)]

    def test_no_real_step_has_no_episode(self):
        assert make(mask=torch.zeros(3, 2)).episodes() == []


class TestFlatten:
    def test_is_time_major(self):
        rollout = make(observation={"x": torch.arange(6).reshape(3, 2)})
        flat = rollout.flatten()
        assert (flat.T, flat.B) == (1, 6)
        assert flat["observation.x"].tolist() == [[0, 1, 2, 3, 4, 5]]

    def test_drops_padding(self):
        rollout = make(action=torch.arange(6).reshape(3, 2), mask=flags("x. xx .x"))
        flat = rollout.flatten()
        assert flat.action.tolist() == [[0, 2, 3, 5]]
        assert flat.mask.all()
        assert not flat.continued.any()

    def test_of_padding_alone_is_empty(self):
        assert make(mask=torch.zeros(3, 2)).flatten().B == 0


class TestDiscountedSum:
    def column(self, values, **entries):
        steps = len(values)
        rollout = make(steps=steps, columns=1, **entries)
        return rollout, torch.tensor(values, dtype=torch.float64)[:, None]

    def test_terminated_takes_nothing_from_behind(self):
        rollout, values = self.column([1, 2, 4, 8], terminated=flags(". x . ."))
        sums = rollout.discounted_sum(values, gamma=0.5)
        assert sums[:, 0].tolist() == [2, 2, 8, 8]

    def test_truncated_takes_the_bootstrap(self):
        rollout, values = self.column([1, 2, 4, 8], truncated=flags(". x . ."))
        bootstrap = torch.tensor([[100.0], [10], [100], [20]], dtype=torch.float64)
        sums = rollout.discounted_sum(values, gamma=0.5, bootstrap=bootstrap)
        assert sums[:, 0].tolist() == [1 + 0.5 * 7, 2 + 0.5 * 10, 4 + 0.5 * 18, 8 + 0.5 * 20]

    def test_truncated_without_bootstrap_stops(self):
        rollout, values = self.column([1, 2, 4, 8], truncated=flags(". x . ."))
        assert rollout.discounted_sum(values, gamma=0.5)[:, 0].tolist() == [2, 2, 8, 8]

    def test_terminated_takes_no_bootstrap_even_with_a_time_limit(self):
        rollout, values = self.column([1, 2], terminated=flags(". x"), truncated=flags(". x"))
        sums = rollout.discounted_sum(values, gamma=0.5, bootstrap=torch.full_like(values, 9.0))
        assert sums[:, 0].tolist() == [2, 2]

    def test_padding_counts_as_zero_and_cuts(self):
        rollout, values = self.column([1, 2, 4, 8], mask=flags("x x . x"))
        bootstrap = torch.tensor([[0.0], [10], [0], [20]], dtype=torch.float64)
        sums = rollout.discounted_sum(values, gamma=0.5, bootstrap=bootstrap)
        assert sums[:, 0].tolist() == [4.5, 7, 0, 18]

    def test_nan_on_padding_and_in_unused_bootstraps_stays_there(self):
        nan = float("nan")
        rollout, values = self.column(
            [1, nan, 4, 8], mask=flags("x . x x"), terminated=flags(". . . x")
        )
        bootstrap = torch.tensor([[2.0], [nan], [nan], [nan]], dtype=torch.float64)
        sums = rollout.discounted_sum(values, gamma=0.5, bootstrap=bootstrap)
        assert sums[:, 0].tolist() == [2, 0, 8, 8]

    def test_gradient_is_the_discount(self):
        rollout, values = self.column([1, 1, 1], terminated=flags(". x ."))
        values.requires_grad_()
        rollout.discounted_sum(values, gamma=0.5)[0, 0].backward()
        assert values.grad is not None
        assert values.grad[:, 0].tolist() == [1, 0.5, 0]

    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def test_equals_the_definition(self, data):
        steps, columns = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 3))
        seed = data.draw(st.integers(0, 2**31 - 1))
        gamma = data.draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))
        rng = np.random.default_rng(seed)
        size = (steps, columns)
        rollout = make(
            steps=steps,
            columns=columns,
            terminated=rng.random(size) < 0.25,
            truncated=rng.random(size) < 0.25,
            mask=rng.random(size) < 0.8,
        )
        values, tail = (torch.as_tensor(rng.normal(size=size)) for _ in range(2))
        expected = np.zeros(size)
        for b in range(columns):
            for t in range(steps):
                k, factor = t, 1.0
                while k < steps and bool(rollout.mask[k, b]):
                    expected[t, b] += factor * float(values[k, b])
                    factor *= gamma
                    last = k + 1 == steps or not bool(rollout.mask[k + 1, b])
                    if bool(rollout.done[k, b]) or last:
                        if not bool(rollout.terminated[k, b]):
                            expected[t, b] += factor * float(tail[k, b])
                        break
                    k += 1
        found = rollout.discounted_sum(values, gamma=gamma, bootstrap=tail)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


class TestFiles:
    def test_round_trip(self, tmp_path):
        rollout = make(
            observation={
                "chars": torch.randint(0, 255, (3, 2, 4, 5), dtype=torch.uint8),
                "inner": {"stats": torch.randn(3, 2, 3, dtype=torch.float64)},
            },
            next_observation={
                "chars": torch.zeros(3, 2, 4, 5, dtype=torch.uint8),
                "inner": {"stats": torch.zeros(3, 2, 3, dtype=torch.float64)},
            },
            state={"message": np.frombuffer(b"hello!" * 6, dtype=np.uint8).reshape(3, 2, 6).copy()},
            mask=flags("xx xx x."),
            continued=torch.tensor([True, False]),
            turn=torch.arange(3)[:, None].expand(3, 2),
        )  # fmt: skip
        rollout.save(tmp_path / "rollout.safetensors")
        loaded = Rollout.load(tmp_path / "rollout.safetensors")
        assert loaded.keys() == rollout.keys()
        for key in rollout.keys():  # noqa: SIM118
            if not isinstance(rollout[key], TensorDict):
                assert torch.equal(loaded[key], rollout[key]), key
                assert loaded[key].dtype == rollout[key].dtype, key
        assert torch.equal(loaded.continued, rollout.continued)
        assert bytes(loaded["state.message"][0, 0].numpy()) == b"hello!"

    def test_pickle_is_refused(self, tmp_path):
        path = tmp_path / "rollout.safetensors"
        path.write_bytes(pickle.dumps({"reward": [1.0]}))
        with pytest.raises(UserError, match="is not a safetensors file"):
            Rollout.load(path)

    def test_other_safetensors_are_refused(self, tmp_path):
        from safetensors.torch import save_file

        save_file({"reward": torch.zeros(1)}, str(tmp_path / "weights.safetensors"))
        with pytest.raises(UserError, match="not a saved rollout"):
            Rollout.load(tmp_path / "weights.safetensors")

    def test_missing_file(self, tmp_path):
        with pytest.raises(UserError, match="Cannot read a rollout"):
            Rollout.load(tmp_path / "none.safetensors")

    def test_slash_in_a_key_is_refused(self, tmp_path):
        rollout = make(state={"a/b": torch.zeros(3, 2)})
        with pytest.raises(UserError, match="must not contain '/'"):
            rollout.save(tmp_path / "rollout.safetensors")
