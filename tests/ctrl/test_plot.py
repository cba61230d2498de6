"""Run folders are written as files; curves, groups, labels and numbers are read back from them."""

import hashlib
import struct

import numpy as np
import pytest
import yaml

from ctrl.plot import plot_runs
from ctrl.run_curves import find_runs, read_progress
from ctrl.run_groups import group_runs
from ctrl.run_summary import common_grid, group_shares, summarise
from ctrl.statistics import interquartile_mean
from reward_models.errors import UnknownNameError, UserError

STEPS = "time/total_timesteps"


def write_run(folder, *, seed=0, env="Ant-v5", algo=None, terms=None, rows=8, level=0.0, **columns):
    """Write a run whose task return rises by 10 a row from ``level``, 100 steps a row."""
    folder.mkdir(parents=True)
    reward = {"task": {"use": "task", "weight": 1.0}, **(terms or {})}
    config = {
        "env": {"id": env, "threads": None}, "algo": {"name": "ppo", **(algo or {})},
        "reward": reward, "steps": 800, "seed": seed,
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    count = np.arange(rows)
    table = {
        STEPS: 100 * (count + 1),
        "return/task": level + 10.0 * count,
        "return/shaped": level + 10.0 * count + 5.0,
        **{f"reward/{name}/share": np.full(rows, 1 / len(reward)) for name in reward},
        **columns,
    }
    lines = [",".join(table)]
    lines += [",".join(str(values[row]) for values in table.values()) for row in range(rows)]
    (folder / "progress.csv").write_text("\n".join(lines) + "\n")
    return folder


def bonus(weight, **options):
    return {"rnd": {"use": "rnd", "weight": weight, **options}}


def labels(path):
    return [group.label for group in group_runs(find_runs(path))[0]]


# -- reading ------------------------------------------------------------------------------------


def test_empty_and_text_cells_are_nan(tmp_path):
    (tmp_path / "progress.csv").write_text('a,b,c\n1,,"x, ""y"""\n2,3.5,\n')
    found = read_progress(tmp_path)
    np.testing.assert_array_equal(found["a"], [1, 2])
    np.testing.assert_array_equal(found["b"], [np.nan, 3.5])
    assert np.isnan(found["c"]).all()


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_cut_by_a_kill_is_dropped(tmp_path, cut):
    path = tmp_path / "progress.csv"
    path.write_text("a,b\n1,2\n" + "1000,2.3456\n"[:-cut])
    np.testing.assert_array_equal(read_progress(path)["a"], [1])


def test_lines_of_another_width_are_dropped(tmp_path):
    path = tmp_path / "progress.csv"
    path.write_text("a,b\n1,2\n3\n4,5,6\n\n7,8\n")
    np.testing.assert_array_equal(read_progress(path)["b"], [2, 8])


def test_rows_that_a_resumed_run_logs_again_replace_the_old_ones(tmp_path):
    path = tmp_path / "progress.csv"
    path.write_text(f"{STEPS},a\n100,1\n200,2\n300,3\n400,4\n200,20\n300,30\n")
    runs = find_runs(tmp_path)
    np.testing.assert_array_equal(read_progress(path)["a"], [1, 2, 20, 30])
    steps, values = runs[0].curve("a")
    np.testing.assert_array_equal(steps, [100, 200, 300])
    np.testing.assert_array_equal(values, [1, 20, 30])


def test_a_file_without_a_header_is_refused(tmp_path):
    path = tmp_path / "progress.csv"
    path.write_text("time/total_ti")
    with pytest.raises(UserError, match="no complete header"):
        read_progress(path)
    with pytest.raises(UserError, match="nothing was logged"):
        read_progress(tmp_path / "other")


def test_runs_are_found_at_any_depth_once_and_in_natural_order(tmp_path):
    for seed in (0, 2, 10):
        write_run(tmp_path / "a" / f"seed_{seed}", seed=seed)
    write_run(tmp_path / "a" / "seed_0" / "checkpoints" / "copy")
    runs = find_runs([tmp_path, tmp_path / "a" / "seed_2", tmp_path / "a/seed_2/progress.csv"])
    assert [run.path.name for run in runs] == ["seed_0", "seed_2", "seed_10"]


def test_an_unknown_path_names_the_nearest_one(tmp_path):
    write_run(tmp_path / "first")
    with pytest.raises(UserError, match=r"Did you mean '.*first'"):
        find_runs(tmp_path / "frist")
    with pytest.raises(UserError, match=r"Did you mean '.*first'"):
        find_runs(tmp_path / "frist" / "seed_0")
    (tmp_path / "note.txt").write_text("")
    with pytest.raises(UserError, match="is a file"):
        find_runs(tmp_path / "note.txt")
    with pytest.raises(UserError, match="at least one"):
        find_runs([])


def test_a_folder_without_a_log_is_refused(tmp_path):
    (tmp_path / "started").mkdir()
    (tmp_path / "started" / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(UserError, match=r"has no progress\.csv"):
        find_runs(tmp_path / "started")
    (tmp_path / "started" / "progress.csv").write_text(f"{STEPS},a\n1")
    with pytest.raises(UserError, match="without any complete row"):
        find_runs(tmp_path / "started")
    # Among others, a run that has just started is passed over.
    write_run(tmp_path / "first")
    assert [run.path.name for run in find_runs(tmp_path)] == ["first"]


def test_a_damaged_configuration_is_refused(tmp_path):
    folder = write_run(tmp_path / "first")
    for text in ("a: [", "- 1\n"):
        (folder / "config.yaml").write_text(text)
        with pytest.raises(UserError, match=r"config\.yaml"):
            find_runs(folder)


# -- grouping -----------------------------------------------------------------------------------


def test_seeds_of_one_configuration_are_one_group(tmp_path):
    for seed in (3, 1, 2):
        write_run(tmp_path / f"seed_{seed}", seed=seed)
    (group,), notes = group_runs(find_runs(tmp_path))
    assert [run.seed for run in group.runs] == [1, 2, 3]
    assert (group.label, group.env, notes) == ("ppo", "Ant-v5", [])


def test_a_repeated_seed_counts_once(tmp_path):
    write_run(tmp_path / "again")
    write_run(tmp_path / "first", rows=5)
    (group,), notes = group_runs(find_runs(tmp_path))
    assert [run.path.name for run in group.runs] == ["again"]
    assert len(notes) == 1
    assert "first repeats seed 0" in notes[0]


def test_what_changes_no_number_separates_no_group(tmp_path):
    write_run(tmp_path / "a", seed=0)
    config = yaml.safe_load((write_run(tmp_path / "b", seed=1) / "config.yaml").read_text())
    config["env"]["threads"] = 4
    config["checkpoints"] = {"every": 10}
    (tmp_path / "b" / "config.yaml").write_text(yaml.safe_dump(config))
    assert labels(tmp_path) == ["ppo"]


def test_labels_name_reward_terms_with_weights(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", terms=bonus(0.1))
    write_run(tmp_path / "c", terms=bonus({"linear": [1.0, 0.0, 1000]}))
    write_run(tmp_path / "d", terms={"task": {"use": "task", "weight": 0.0}, **bonus(1)})
    write_run(tmp_path / "e", algo={"name": "sac"})
    assert labels(tmp_path) == [
        "ppo", "ppo + rnd=0.1", "ppo + rnd=linear(1, 0, 1000)", "ppo + task=0 + rnd=1", "sac",
    ]  # fmt: skip


def test_labels_name_settings_that_differ_among_comparable_runs(tmp_path):
    write_run(tmp_path / "a", algo={"gamma": 0.9}, terms=bonus(0.1, width=64))
    write_run(tmp_path / "b", algo={"gamma": 0.99}, terms=bonus(0.1, width=32))
    write_run(tmp_path / "c", algo={"gamma": 0.99})
    write_run(tmp_path / "d", algo={"name": "sac", "gamma": 0.5, "tau": 0.1})
    assert labels(tmp_path) == [
        "ppo + rnd=0.1 (gamma=0.9, rnd.width=64)",
        "ppo + rnd=0.1 (gamma=0.99, rnd.width=32)",
        "ppo (gamma=0.99)",
        "sac",
    ]


def test_many_differing_settings_are_named_by_the_folder(tmp_path):
    for name, value in (("slow", 1), ("fast", 2)):
        algo = dict.fromkeys(("a", "b", "c", "d"), value)
        write_run(tmp_path / name / "seed_0", algo=algo)
    assert labels(tmp_path) == ["ppo (fast)", "ppo (slow)"]


def test_common_terms_of_many_are_counted(tmp_path):
    common = {name: {"use": name, "weight": 1.0} for name in ("a", "b", "c")}
    write_run(tmp_path / "x", terms={**common, **bonus(0.1)})
    write_run(tmp_path / "y", terms={**common, **bonus(0.2)})
    assert labels(tmp_path) == ["ppo + rnd=0.1 + 3 more", "ppo + rnd=0.2 + 3 more"]
    assert labels(tmp_path / "x") == ["ppo + 4 terms"]


def test_environments_are_named_when_there_are_several(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", env="Hopper-v5")
    assert labels(tmp_path) == ["Ant-v5: ppo", "Hopper-v5: ppo"]


def test_folders_without_configuration_go_by_their_name(tmp_path):
    for name in ("plain/seed_0", "plain/seed_1", "other"):
        (write_run(tmp_path / name) / "config.yaml").unlink()
    groups, notes = group_runs(find_runs(tmp_path))
    assert {group.label: len(group.runs) for group in groups} == {"other": 1, "plain": 2}
    assert notes == []


# -- numbers ------------------------------------------------------------------------------------


def test_curves_are_interpolated_where_all_seeds_have_values(tmp_path):
    write_run(tmp_path / "a", seed=0)
    write_run(tmp_path / "b", seed=1, rows=3, **{STEPS: np.array([150, 250, 450])})
    (group,), _ = group_runs(find_runs(tmp_path))
    grid, seeds = common_grid(group, "return/task")
    np.testing.assert_array_equal(grid, [150, 200, 250, 300, 400, 450])
    np.testing.assert_allclose(seeds[0], [5, 10, 15, 20, 30, 35])
    np.testing.assert_allclose(seeds[1], [0, 5, 10, 12.5, 17.5, 20])


def test_seeds_without_a_common_step_have_no_curve(tmp_path):
    write_run(tmp_path / "a", seed=0, rows=1)
    write_run(tmp_path / "b", seed=1, rows=1, **{STEPS: np.array([900])})
    (group,), _ = group_runs(find_runs(tmp_path))
    assert common_grid(group, "return/task") is None
    assert common_grid(group, "return/nothing") is None
    result = plot_runs(tmp_path)
    assert result.path.is_file()
    assert result.groups == ()
    assert "share no step of return/task" in result.notes[0]


def test_final_values_are_taken_at_the_last_common_step(tmp_path):
    for seed, rows in ((0, 8), (1, 8), (2, 4)):
        write_run(tmp_path / f"seed_{seed}", seed=seed, rows=rows, level=100.0 * seed)
    result = plot_runs(tmp_path)
    (found,) = result.groups
    assert (found.step, found.values) == (400, (30.0, 130.0, 230.0))
    assert found.mean == found.final.point == pytest.approx(130)
    assert (found.final.n, found.success) == (3, None)
    assert found.task_return == found.final
    (note,) = result.notes
    assert "seed_2 ends at step 400" in note


def test_five_seeds_give_the_interquartile_mean(tmp_path):
    for seed in range(5):
        write_run(tmp_path / f"seed_{seed}", seed=seed, level=float(seed**3))
    (group,), _ = group_runs(find_runs(tmp_path))
    found = summarise(group, "return/task")
    assert found.final.point == pytest.approx(interquartile_mean([70, 71, 78, 97, 134]))
    assert found.final.low < found.final.point < found.final.high
    assert found.mean == pytest.approx(90)


def test_shares_leave_out_metrics_of_other_paths(tmp_path):
    folder = write_run(tmp_path / "a", terms=bonus(0.1), **{"reward/rnd/gate/share": np.ones(8)})
    (group,), _ = group_runs(find_runs(folder))
    shares = group_shares(group)
    assert shares.terms == ("task", "rnd")
    np.testing.assert_allclose(shares.shares, 0.5)
    (group,), _ = group_runs(find_runs(write_run(tmp_path / "b")))
    assert group_shares(group) is None


# -- the picture --------------------------------------------------------------------------------


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_the_same_runs_give_the_same_png(tmp_path):
    for seed in range(3):
        write_run(tmp_path / "ppo" / f"seed_{seed}", seed=seed, level=float(seed))
        write_run(tmp_path / "rnd" / f"seed_{seed}", seed=seed, terms=bonus(0.1))
    first = plot_runs([tmp_path / "ppo", tmp_path / "rnd"], out=tmp_path / "out" / "a.png")
    again = plot_runs([tmp_path / "ppo", tmp_path / "rnd"], out=tmp_path / "out")
    assert again.path == tmp_path / "out" / "plot.png"
    digests = {hashlib.sha256(result.path.read_bytes()).digest() for result in (first, again)}
    assert len(digests) == 1
    assert [group.label for group in first.groups] == ["ppo", "ppo + rnd=0.1"]
    assert sorted(file.name for file in first.path.parent.iterdir()) == ["a.png", "plot.png"]
    plain = first.as_dict()
    assert plain["groups"][0]["final"]["n"] == 3
    assert plain["plot"] == str(first.path)


def test_the_third_panel_is_there_when_there_is_more_than_the_task(tmp_path):
    write_run(tmp_path / "ppo")
    write_run(tmp_path / "rnd", terms=bonus(0.1))
    alone, both = plot_runs(tmp_path / "ppo"), plot_runs(tmp_path)
    assert alone.path == tmp_path / "ppo" / "plot.png"
    assert png_size(both.path)[0] == 1.5 * png_size(alone.path)[0]


def test_the_success_rate_is_preferred_where_every_method_has_it(tmp_path):
    success = {"rollout/success_rate": np.linspace(0, 0.8, 8)}
    write_run(tmp_path / "maze" / "a", env="Maze-v3", **success)
    write_run(tmp_path / "maze" / "b", env="Maze-v3", terms=bonus(0.1), **success)
    write_run(tmp_path / "ant")
    found = {group.label: group for group in plot_runs(tmp_path).groups}
    assert found["Maze-v3: ppo"].metric == "rollout/success_rate"
    assert found["Maze-v3: ppo"].success.point == pytest.approx(0.8)
    assert found["Maze-v3: ppo"].task_return.point == 70
    assert found["Ant-v5: ppo"].metric == "return/task"
    write_run(tmp_path / "maze" / "c", env="Maze-v3", terms=bonus(0.2))
    assert {group.metric for group in plot_runs(tmp_path / "maze").groups} == {"return/task"}


def test_a_metric_can_be_named_and_a_misspelt_one_is_refused(tmp_path):
    write_run(tmp_path / "a", **{"time/fps": np.full(8, 900.0)})
    write_run(tmp_path / "b", terms=bonus(0.1))
    result = plot_runs(tmp_path, metric="time/fps", smooth=3)
    assert [group.final.point for group in result.groups] == [900.0]
    assert any("has not logged time/fps" in note for note in result.notes)
    with pytest.raises(UnknownNameError, match="Did you mean 'return/task'"):
        plot_runs(tmp_path, metric="retrun/task")


def test_plain_sb3_logs_are_drawn_by_their_episode_return(tmp_path):
    (tmp_path / "progress.csv").write_text(f"{STEPS},rollout/ep_rew_mean\n10,1\n20,2\n")
    (group,) = plot_runs(tmp_path).groups
    assert (group.metric, group.final.point, group.final.n) == ("rollout/ep_rew_mean", 2.0, 1)


def test_before_the_first_episode_there_is_nothing_to_draw(tmp_path):
    (tmp_path / "progress.csv").write_text(f"{STEPS},time/fps\n10,1\n")
    with pytest.raises(UserError, match="first finished episode"):
        plot_runs(tmp_path)


def test_unusable_options_are_refused(tmp_path):
    folder = write_run(tmp_path / "a")
    with pytest.raises(UserError, match=r"a\.png instead of"):
        plot_runs(folder, out=tmp_path / "a.pdf")
    with pytest.raises(UserError, match="smooth"):
        plot_runs(folder, smooth=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        plot_runs(folder, out=tmp_path / "file" / "a.png")
    with pytest.raises(UserError, match="level"):
        plot_runs(folder, level=95.0)


def test_many_methods_and_terms_fit_in_one_picture(tmp_path):
    for k in range(9):
        terms = {f"term_{i}": {"use": "x", "weight": 1.0 + k} for i in range(9)}
        write_run(tmp_path / str(k), terms=terms, level=float(k))
    result = plot_runs(tmp_path)
    assert len(result.groups) == 9
    assert "6 of 9" in result.notes[-1]


def test_the_users_own_matplotlib_settings_are_left_alone(tmp_path):
    import matplotlib

    folder = write_run(tmp_path / "a")
    plain = plot_runs(folder, out=tmp_path / "a.png").path.read_bytes()
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30.0}):
        assert plot_runs(folder, out=tmp_path / "b.png").path.read_bytes() == plain
        assert matplotlib.rcParams["font.size"] == 30.0


def test_that_a_damaged_folder_is_skipped_and_named(tmp_path):
    write_run(tmp_path / "good")
    write_run(tmp_path / "bad")
    (tmp_path / "bad" / "config.yaml").write_text("{: bad")
    result = plot_runs(tmp_path)
    assert len(result.groups) == 1
    assert str(tmp_path / "bad") in result.notes[0]
