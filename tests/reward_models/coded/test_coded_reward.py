import copy
import logging

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.base import split_output
from reward_models.coded.coded_reward import CodedReward
from reward_models.coded.faults import FaultKind
from reward_models.coded.program import Convention, Program
from reward_models.coded.runner import Runner, signed
from reward_models.errors import RewardError, UnknownNameError, UserError
from reward_models.mix import RewardMix, Term
from reward_models.registry import build_reward, is_own_code

COUNT = {"before": "state['n'] = state.get('n', 0) + 1", "dense": "state['n'] > 2"}


@pytest.fixture
def make_reward(limits):
    def make(program, **options):
        return CodedReward(program=program, limits=limits, **options)

    return make


def rewards(model, record):
    return split_output(model(record))[0]


def close(found, expected):
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=torch.float32))


def test_the_table_of_signs():
    sparse, dense = [3, 0, -5, 1, 0, 0, 1e-13], [-7, 0.2, 0, 1, -3, 0, -1e-13]
    found = signed(np.array(sparse), np.array(dense))
    np.testing.assert_allclose(found, [0.9, 0.1, -1.0, 1.1, -0.1, 0, 0], rtol=0, atol=1e-15)


@pytest.mark.parametrize("factor", [1e-3, 0.5, 7, 1e6])
def test_that_the_scale_of_dense_does_not_matter(factor, make_reward, make_program, make_record):
    record = make_record(8, 3)
    sparse, dense = "obs['hit_points'] > 5", "obs['position'] - prev_obs['position']"
    plain = rewards(make_reward(make_program(sparse=sparse, dense=dense)), record)
    scaled = rewards(
        make_reward(make_program(sparse=sparse, dense=f"{factor} * ({dense})")), record
    )
    flipped = rewards(
        make_reward(make_program(sparse=sparse, dense=f"-{factor} * ({dense})")), record
    )
    assert torch.equal(plain, scaled)
    won = (record["state.hit_points"] > 5).float()
    close(flipped - won, won - plain)
    assert len(set(plain.flatten().tolist())) == 4


def test_that_values_are_those_of_the_same_computation_in_numpy(make_reward, inputs, make_record):
    source = (
        "def compute_dense_reward(self, action):\n"
        "    change = np.linalg.norm(self.target - self.velocity) - self.prev_obs['position']\n"
        "    return change * (1 + action) + (3 if 'hit' in self.message else 0)\n"
    )
    model = make_reward(Program(source, Convention.SCALAR, inputs))
    record = make_record(7, 4, terminated=[(2, 1)], truncated=[(4, 3)])
    velocity, target = record.next_observation["velocity"].double(), record["state.target"]
    change = (target - velocity).norm(dim=-1) - record.observation["position"].double()
    expected = change * (1 + record.action) + 3
    torch.testing.assert_close(rewards(model, record), expected.float(), rtol=1e-6, atol=1e-6)
    assert model.requires == {"state.target", "state.message"}


def test_that_components_come_as_extras(make_reward, inputs, make_record):
    source = (
        "def compute_reward(position, prev_position, action):\n"
        "    return position - prev_position, {'now': position, 'then': prev_position}\n"
    )
    model = make_reward(Program(source, Convention.COMPONENTS, inputs))
    record = make_record(5, 2)
    reward, extras = model(record)
    assert set(extras) == {"component_now", "component_then"}
    close(extras["component_now"] - extras["component_then"], reward)
    assert torch.equal(extras["component_then"], record.observation["position"])
    assert model.replayable
    assert model.goal_relabelling
    metrics = model.update(record)
    assert metrics["component_now"] == pytest.approx(float(extras["component_now"].mean()))


def test_that_memory_lasts_until_an_episode_ends(make_reward, make_program, make_record):
    model = make_reward(make_program(**COUNT))
    record = make_record(8, 3, terminated=[(3, 0)], truncated=[(3, 1)])
    reward = rewards(model, record)
    ended = [0, 0, 0.1, 0.1, 0, 0, 0.1, 0.1]
    close(reward.T, [ended, ended, [0, 0, *[0.1] * 6]])
    assert not model.replayable


def test_that_open_episodes_go_on_in_the_next_rollout(make_reward, make_program, make_record):
    model = make_reward(make_program(**COUNT))
    first = make_record(2, 3, truncated=[(1, 2)])
    assert not bool(rewards(model, first).any())
    model.update(first)
    second = make_record(2, 3, continued=torch.tensor([True, False, False]))
    close(rewards(model, second).T, [[0.1, 0.1], [0, 0], [0, 0]])
    close(rewards(model, second).T, [[0.1, 0.1], [0, 0], [0, 0]])  # forward changes nothing


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_that_the_size_of_calls_does_not_matter(most, sandbox, make_program, make_record):
    program = make_program(
        before="state['seen'] = state.get('seen', ()) + (obs['hit_points'],)",
        dense="len(set(state['seen'])) + obs['hit_points'] - prev_obs['hit_points'] + info['step']",
        sparse="prev_obs['position'] - obs['position']",
    )
    mask = torch.ones(9, 4, dtype=torch.bool)
    mask[5:, 2] = False
    record = make_record(9, 4, terminated=[(2, 0), (8, 1)], truncated=[(4, 3)], mask=mask)
    runner = Runner(program, sandbox)
    whole, cut = runner.run(record), runner.run(record, most=most)
    for name in ("sparse", "dense"):
        np.testing.assert_array_equal(whole.parts[name], cut.parts[name])
    assert whole.carried == cut.carried
    assert set(whole.carried) == {0, 2, 3}
    assert not whole.parts["dense"][5:, 2].any()
    # Nothing of the simulator is known from before an episode: its change is 0 at the first step.
    assert whole.parts["dense"][3, 0] == 1.0


def test_that_the_state_goes_through_a_checkpoint(make_reward, make_program, make_record):
    program = make_program(
        before="state.setdefault('cells', set()).add((action, 1.5)); state['v'] = obs['velocity']",
        dense="len(state['cells']) + state['v'][0]",
    )
    model, again = make_reward(program), make_reward(program)
    first = make_record(4, 3)
    rewards(model, first)
    model.update(first)
    again.load_state_dict(model.state_dict())
    second = make_record(4, 3, seed=1, continued=torch.ones(3, dtype=torch.bool))
    parts = [
        split_output(each(second))[1]["dense"] for each in (model, again, copy.deepcopy(model))
    ]
    assert torch.equal(parts[0], parts[1])
    assert torch.equal(parts[0], parts[2])
    assert not torch.equal(parts[0], split_output(make_reward(program)(second))[1]["dense"])
    with pytest.raises(UserError, match="a file was changed"):
        make_reward(make_program()).load_state_dict(model.state_dict())


@pytest.fixture
def failing(make_program):
    return make_program(before="x = 1 / (obs['hit_points'] - 50)", dense="x")


def damaged(record):
    record["state"]["hit_points"][2, 1] = 50
    return record


def test_that_the_last_good_program_pays_after_a_fault(
    make_reward, make_program, failing, make_record, caplog
):
    good = make_program(dense="obs['position']")
    model = make_reward(failing, fallback=good)
    fine, bad = make_record(5, 2), damaged(make_record(5, 2))
    before = rewards(model, fine)
    assert model.update(fine)["faults"] == 0
    expected = rewards(make_reward(good), bad)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(rewards(model, bad), expected)
    assert model.update(bad)["faults"] == 1
    (fault,) = model.faults
    assert (fault.kind, fault.line) == (FaultKind.DIVISION, 4)
    assert "time step 2, column 1" in fault.message
    assert "line 4: division" in caplog.text
    assert model.active == 1
    again = make_reward(failing, fallback=good)
    again.load_state_dict(model.state_dict())
    for each in (model, again):  # for good, also after a checkpoint
        assert torch.equal(rewards(each, fine), rewards(make_reward(good), fine))
        assert not torch.equal(rewards(each, fine), before)
    assert len(caplog.records) == 1


def test_that_a_first_failure_leaves_the_term_undefined(make_reward, failing, make_record):
    mix = RewardMix({"code": Term(make_reward(failing))}, gamma=0.9)
    record = damaged(make_record(5, 2)).replace(reward=torch.ones(5, 2))
    mixed, metrics = mix.collect(record, steps=10)
    assert torch.equal(mixed.total, record.reward)
    assert not bool(mixed.defined[..., 1].any())
    assert metrics["code/faults"] == 1
    assert mix.models["code"].active is None


def test_that_a_fault_can_stop_the_run(make_reward, failing, make_record):
    with pytest.raises(RewardError, match="line 4: division"):
        make_reward(failing, on_fault="stop")(damaged(make_record(5, 2)))


def test_that_a_program_the_critic_refuses_is_no_reward(make_reward, make_program):
    with pytest.raises(UserError, match="line 5: undeclared: unknown name 'lava_near'"):
        make_reward(make_program(dense="lava_near"))


def test_that_an_environment_of_other_shapes_is_refused(make_reward, make_program, make_record):
    model = make_reward(make_program(dense="obs['target'][0]"))
    record = make_record(2, 2)
    record = record.replace(state={"target": torch.zeros(2, 2, 4)})
    with pytest.raises(UserError, match=r"of shape \[3\], this record has \[4\]"):
        model(record)


def test_that_a_file_is_a_reward_by_its_name(make_program, make_record, inputs, tmp_path):
    path = tmp_path / "best.py"
    make_program(dense="obs['position']").save(path)
    record = make_record(3, 2)
    box = spaces.Box(-1.0, 1.0, (3,))
    options = {"observation_space": box, "action_space": box, "gamma": 0.9}
    named = build_reward(f"{path}:program", **options, options={"limits": {"seconds": 5}})
    listed = build_reward("coded", **options, options={"program": str(path)})
    assert named.limits.seconds == 5
    assert torch.equal(rewards(named, record), rewards(listed, record))
    assert not is_own_code(f"{path}:program")
    with pytest.raises(UnknownNameError, match="Valid: program"):
        build_reward(f"{path}:reward", **options)
    path.write_text(path.read_text().replace("return 0", "return 1"))
    with pytest.raises(UserError, match="changed after it was reviewed"):
        build_reward(f"{path}:program", **options)


def test_that_unknown_options_name_the_nearest(make_program):
    for options in ({"tier": "nunpy"}, {"on_fault": "stopp"}, {"limits": {"secondss": 1}}):
        with pytest.raises(UnknownNameError, match="Did you mean"):
            CodedReward(program=make_program(), **options)
    with pytest.raises(UserError, match="above 0"):
        CodedReward(program=make_program(), limits={"seconds": -1})
