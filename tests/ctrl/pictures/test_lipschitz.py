import numpy as np
import pytest

from ctrl.pictures.lipschitz import draw_lipschitz, steepness_keys
from ctrl.run_curves import RunCurves
from ctrl.run_groups import group_runs


def _runs(tmp_path, columns, seeds=2):
    steps = np.arange(1, 6) * 100.0
    config = {"env": {"id": "Hopper-v5"}, "algo": {"name": "sac"}}
    return group_runs(
        RunCurves(
            tmp_path / str(seed),
            {**config, "seed": seed},
            {"time/total_timesteps": steps, **{k: v + seed for k, v in columns.items()}},
        )
        for seed in range(seeds)
    )[0]


def test_the_norms_of_rewards_critic_and_policy_stand_side_by_side(tmp_path):
    rising = np.array([1.0, 10, 100, 1000, 10_000])
    groups = _runs(
        tmp_path,
        {
            "lipschitz/critic": rising,
            "lipschitz/actor": rising / 7,
            "reward/gail/gradient": rising * 2,
            "reward/gail/c_validity": np.zeros(5),
            "reward/gail/loss": rising,
            "lipschitz/critic_max": rising,
        },
    )
    keys = [
        "reward/gail/c_validity",
        "reward/gail/gradient",
        "lipschitz/critic",
        "lipschitz/actor",
    ]
    assert steepness_keys(groups) == keys
    figure = draw_lipschitz(groups)
    shown = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison}
    assert list(shown) == [
        "gail/c_validity",
        "gail/gradient",
        "critic: mean gradient norm",
        "policy: mean Jacobian norm",
    ]
    scales = [axes.get_yscale() for axes in shown.values()]
    assert scales == ["linear", "log", "log", "log"]
    # The last line of a panel is the mean over both seeds.
    line = shown["critic: mean gradient norm"].lines[-1]
    np.testing.assert_allclose(line.get_ydata(), rising + 0.5)


@pytest.mark.parametrize("columns", [{}, {"lipschitz/critic": np.full(5, np.nan)}])
def test_without_measurements_there_is_no_picture(tmp_path, columns):
    assert draw_lipschitz(_runs(tmp_path, columns)) is None


def test_a_norm_of_zero_is_drawn_on_a_linear_axis(tmp_path):
    groups = _runs(tmp_path, {"lipschitz/critic": np.array([0.0, 1, 2, 3, 4])}, seeds=1)
    assert draw_lipschitz(groups).axes[0].get_yscale() == "linear"
