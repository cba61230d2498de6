import pytest
import torch

from reward_models.coded.critic import review, sample_rollouts
from reward_models.coded.faults import FaultKind
from reward_models.coded.program import Convention

SIGNED = (
    "def sparse(prev_obs, action, obs, info, state):\n    return 0\n"
    "def dense(prev_obs, action, obs, info, state):\n    {before}\n    return {dense}\n"
)


def signed_source(dense="0", before="pass"):
    return SIGNED.format(dense=dense, before=before)


@pytest.mark.parametrize(
    ("kind", "line", "source"),
    [
        (FaultKind.IMPORT, 1, "import os\n" + signed_source()),
        (FaultKind.DUNDER, 5, signed_source(dense="obs.__class__")),
        (FaultKind.MISSING_FUNCTION, 3, signed_source().split("\n", 2)[2]),
        (FaultKind.UNDECLARED, 5, signed_source(dense="lava_near")),
        (FaultKind.DIVISION, 5, signed_source(dense="1 / obs['zero']")),
        (FaultKind.NO_RETURN, 5, signed_source(dense="None")),
        (FaultKind.RETURN_TYPE, 5, signed_source(before="x = None", dense="x")),
        (FaultKind.TIME, 4, signed_source(before="sum(range(10**12))")),
        (FaultKind.UNBOUNDED_LOOP, 4, signed_source(before="while True: pass")),
    ],
)
def test_that_each_fault_has_its_own_kind_and_line(kind, line, source, inputs, sandbox):
    verdict = review(source, "signed", inputs, sandbox=sandbox)
    assert verdict.program is None
    assert [(fault.kind, fault.line) for fault in verdict.faults] == [(kind, line)]
    assert f"line {line}: {kind}: " in str(verdict)


@pytest.mark.parametrize(
    "dense",
    [
        "obs['position'] - prev_obs['position']",
        "np.linalg.norm(obs['target'] - obs['velocity'])",
        "'hit' in obs['message']",
        "info['step'] > 3 and not info['terminated']",
        "ACTIONS[action] == 'left'",
        "(state.setdefault('n', 0), state.update(n=state['n'] + 1), state['n'])[2]",
        "math.tanh(sum(x * x for x in obs['velocity']))",
    ],
)
def test_that_honest_programs_pass(dense, inputs, sandbox):
    verdict = review(signed_source(dense=dense), Convention.SIGNED, inputs, sandbox=sandbox)
    assert verdict.faults == ()
    assert verdict.program.convention is Convention.SIGNED


@pytest.mark.parametrize(
    ("convention", "source"),
    [
        (
            "components",
            "import numpy as np\nfrom typing import Dict, Tuple\n"
            "def compute_reward(position: float, prev_velocity, action, state) -> Tuple:\n"
            "    scale = 0.5\n    near = np.exp(-abs(position) / scale)\n"
            "    calm = -np.linalg.norm(prev_velocity)\n"
            "    return near + calm, {'near': near, 'calm': calm}\n",
        ),
        (
            "scalar",
            "import numpy as xp\nfrom math import sqrt as root\n"
            "def compute_dense_reward(self, action) -> float:\n"
            "    text = '''a\n  b'''\n"
            "    return root(abs(self.position)) + xp.sum(self.velocity) + len(text)\n",
        ),
    ],
)
def test_that_the_other_conventions_pass(convention, source, inputs, sandbox):
    assert review(source, convention, inputs, sandbox=sandbox).faults == ()


def test_that_all_faults_of_the_text_come_at_once(inputs, sandbox):
    source = "import os\n" + signed_source(dense="lava_near + obs['lava']")
    found = review(source, "signed", inputs, sandbox=sandbox).faults
    assert [(fault.line, fault.kind) for fault in found] == [
        (1, FaultKind.IMPORT),
        (6, FaultKind.UNDECLARED),
        (6, FaultKind.UNDECLARED),
    ]


def test_that_given_samples_are_run_too(inputs, sandbox, make_record):
    source = signed_source(before="x = 1 / 0 if obs['hit_points'] > 100 else 0", dense="x")
    assert review(source, "signed", inputs, sandbox=sandbox).program is not None
    record = make_record(5, 2)
    record["state"]["hit_points"][3, 1] = 101
    (fault,) = review(source, "signed", inputs, record, sandbox=sandbox).faults
    assert (fault.kind, fault.line) == (FaultKind.DIVISION, 4)
    assert "time step 3, column 1" in fault.message


def test_that_the_drawn_samples_have_every_case(inputs):
    zeros, drawn = sample_rollouts(inputs)
    assert not bool(zeros.observation["velocity"].any())
    for record in (zeros, drawn):
        assert bool(record.terminated.any())
        assert bool(record.truncated.any())
        assert not bool(record.done[:, 2].any())
    again = sample_rollouts(inputs)[1]
    assert torch.equal(drawn.observation["velocity"], again.observation["velocity"])
