"""Films of one episode: pictures, terminals and what cannot be filmed."""

import subprocess

import gymnasium
import numpy as np
import pytest

from ctrl.build import acting_config, build_model
from ctrl.config import parse_config
from ctrl.pictures.terminal import draw_terminal
from ctrl.video import film, take_frames, write_video
from reward_models.errors import UserError


def policy(env, **options):
    algo = {"name": "ppo", "n_steps": 16, "batch_size": 16}
    config = parse_config({"env": {"id": env, "n_envs": 1, **options}, "algo": algo})
    return build_model(acting_config(config)), config.env


def decoded(path, size):
    """Return the frames of a video of ``size`` (height, width), ``[N, H, W, 3]``."""
    program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    words = [program, "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    out = subprocess.run(words, capture_output=True, check=True).stdout
    return np.frombuffer(out, np.uint8).reshape(-1, *size, 3)


class TextOnly(gymnasium.Env):
    """An environment that renders text and nothing else."""

    metadata = {"render_modes": ["ansi"], "render_fps": 5}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode, self.steps = render_mode, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(2, np.float32), 1.0, self.steps == 3, False, {}

    def render(self):
        return f"\x1b[31mstep {self.steps}\x1b[0m"


class Blind(TextOnly):
    """An environment that renders nothing."""

    metadata = {"render_modes": []}  # noqa: RUF012


@pytest.fixture
def text_only():
    gymnasium.register("TextOnly-v0", entry_point=TextOnly)
    yield "TextOnly-v0"
    del gymnasium.registry["TextOnly-v0"]


def test_that_text_is_filmed_as_a_terminal(text_only, tmp_path):
    model, config = policy(text_only)
    found = take_frames(model, config, seed=0)
    assert (found.rate, found.task_return, found.ended) == (5.0, 3.0, True)
    for step, frame in enumerate(found.frames):
        np.testing.assert_array_equal(frame, draw_terminal(f"\x1b[31mstep {step}\x1b[0m"))


def test_that_nethack_is_filmed_as_a_terminal_with_its_colours():
    pytest.importorskip("minihack")
    model, config = policy("MiniHack-River-v0", max_episode_steps=3)
    found = take_frames(model, config, seed=1)
    assert len(found.frames) == 4
    height, width, _ = found.frames[0].shape
    assert width > 80 * 7
    assert height > 24 * 12
    seen = {tuple(map(int, colour)) for colour in found.frames[-1].reshape(-1, 3)}
    assert (66, 114, 236) in seen  # water
    assert (255, 255, 255) in seen  # the hero and the cursor
    assert any((one != found.frames[0]).any() for one in found.frames[1:])


def test_that_rocket_league_and_small_worlds_are_drawn_by_themselves():
    pytest.importorskip("RocketSim")
    for name in ("RocketLeague1v1-v0", "PointMass-v0"):
        model, config = policy(name, max_episode_steps=4)
        found = take_frames(model, config, seed=0)
        assert len(found.frames) == 5
        assert found.frames[0].dtype == np.uint8
        assert found.frames[0].std() > 1
        assert (found.frames[0] != found.frames[-1]).any()


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_that_frames_of_odd_size_come_back_from_the_file(tmp_path, suffix):
    frames = [np.full((33, 47, 3), 20 * k, np.uint8) for k in range(6)]
    path = write_video(frames, 10, tmp_path / f"film{suffix}")
    back = decoded(path, (34, 48) if suffix == ".mp4" else (33, 47))
    assert len(back) == 6
    for frame, found in zip(frames, back, strict=True):
        assert abs(float(found.mean()) - float(frame.mean())) < 6


def test_that_a_film_for_a_page_is_made_smaller(tmp_path):
    frames = [np.random.default_rng(k).integers(0, 255, (100, 300, 3), np.uint8) for k in range(4)]
    path = write_video(frames, 10, tmp_path / "film.mp4", largest=120)
    assert len(decoded(path, (40, 120))) == 4
    assert write_video(frames[:1], 10, tmp_path / "one.mp4", largest=900).stat().st_size > 100


def test_that_what_cannot_be_filmed_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"\.mp4 or \.gif"):
        write_video([np.zeros((8, 8, 3), np.uint8)], 10, tmp_path / "film.avi")
    gymnasium.register("Blind-v0", entry_point=Blind)
    try:
        model, config = policy("Blind-v0")
        with pytest.raises(UserError, match="renders no images"):
            film(model, config, tmp_path / "film.mp4", seed=0)
    finally:
        del gymnasium.registry["Blind-v0"]
