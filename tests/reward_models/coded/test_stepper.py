import pytest

from reward_models.coded.faults import ProgramError
from reward_models.coded.stepper import Stepper
from reward_models.errors import UnknownNameError


def test_that_memory_lasts_until_reset_and_is_not_shared(sandbox, make_program):
    program = make_program(before="state['n'] = state.get('n', 0) + 1", dense="state['n'] > 2")
    one, other = Stepper(program, sandbox), Stepper(program, sandbox)
    found = [(one({}, 0, {}), other({}, 0, {})) for _ in range(4)]
    assert found == [(0, 0), (0, 0), (0.1, 0.1), (0.1, 0.1)]
    one.reset()
    assert [one({}, 0, {}) for _ in range(2)] == [0, 0]
    assert other({}, 0, {}) == 0.1


def test_that_values_and_parts_are_those_of_the_step(sandbox, make_program):
    program = make_program(
        sparse="info['terminated']", dense="obs['velocity'][0] - prev_obs['velocity'][0] + action"
    )
    step = Stepper(program, sandbox)
    assert step({"velocity": (1.0, 0, 0)}, 2, {"velocity": [0.0, 0, 0]}, terminated=True) == 1.1
    assert step.components == {"sparse": 1.0, "dense": 1.0}
    with pytest.raises(UnknownNameError, match="velocity"):
        step({}, 0, {})


def test_that_a_fault_names_its_line(sandbox, make_program):
    step = Stepper(make_program(dense="1 / obs['zero']"), sandbox)
    with pytest.raises(ProgramError, match="line 5: division"):
        step({"zero": 0}, 0, {"zero": 0})
