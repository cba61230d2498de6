import pytest
import torch

from reward_models.coded.coded_reward import CodedReward
from reward_models.coded.program import Convention, Program
from reward_models.errors import RewardError, UserError

VECTORISED = (
    "def sparse(prev_obs, action, obs, info, state):\n"
    "    return np.where(info['terminated'], 1.0, 0.0)\n"
    "def dense(prev_obs, action, obs, info, state):\n"
    "    return np.linalg.norm(obs['velocity'], axis=-1) - prev_obs['position']\n"
)
STEPWISE = VECTORISED.replace("np.where(info['terminated'], 1.0, 0.0)", "info['terminated']")
STEPWISE = STEPWISE.replace(", axis=-1", "")


def build(source, inputs, convention=Convention.SIGNED, **options):
    program = Program(source, convention, inputs)
    return CodedReward(program=program, tier="numpy", trust_code=True, **options)


def test_that_it_is_refused_unless_asked_for(inputs):
    program = Program(VECTORISED, Convention.SIGNED, inputs)
    with pytest.raises(UserError, match=r"all your rights.*trust_code: true"):
        CodedReward(program=program, tier="numpy")


def test_that_both_tiers_agree(inputs, make_record):
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[4:, 1] = False
    record = make_record(6, 3, terminated=[(2, 0)], mask=mask)
    fast, parts = build(VECTORISED, inputs)(record)
    slow, expected = CodedReward(program=Program(STEPWISE, Convention.SIGNED, inputs))(record)
    assert torch.equal(fast, slow)
    torch.testing.assert_close(parts["dense"], expected["dense"])
    assert not bool(fast[4:, 1].any())


@pytest.mark.parametrize(
    ("convention", "source"),
    [
        ("components", "def compute_reward(position, prev_zero, action):\n"
                       "    return position + prev_zero, {'p': position}\n"),
        ("scalar", "def compute_dense_reward(self, action):\n    return self.position\n"),
    ],
)  # fmt: skip
def test_the_other_conventions(convention, source, inputs, make_record):
    record = make_record(3, 2)
    reward, parts = build(source, inputs, Convention(convention))(record)
    torch.testing.assert_close(reward, record.next_observation["position"])
    assert set(parts) == ({"component_p"} if convention == "components" else set())


def test_that_steps_in_their_order_are_refused(inputs):
    for expression in ("state.get('n', 0)", "info['step']", "prev_obs['hit_points']"):
        source = VECTORISED.replace("np.where(info['terminated'], 1.0, 0.0)", expression)
        with pytest.raises(UserError, match="all steps at once"):
            build(source, inputs)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 / 0", "line 2: exception: ZeroDivisionError"),
        ("np.full(len(action), np.nan)", "line 1: not_finite"),
        ("np.zeros(2)", "line 1: return_type"),
        ("'x'", "line 1: return_type"),
    ],
)
def test_that_faults_name_their_line(expression, message, inputs, make_record):
    source = VECTORISED.replace("np.where(info['terminated'], 1.0, 0.0)", expression)
    with pytest.raises(RewardError, match=message):
        build(source, inputs, on_fault="stop")(make_record(3, 2))


def test_that_a_program_that_cannot_be_loaded_is_refused(inputs):
    with pytest.raises(UserError, match="fails while it is loaded: ModuleNotFoundError"):
        build("import no_such_module\n" + VECTORISED, inputs)
    with pytest.raises(UserError, match="must define sparse and dense"):
        build(VECTORISED.replace("dense", "thick"), inputs)
    with pytest.raises(UserError, match="no Python"):
        build("def", inputs)
