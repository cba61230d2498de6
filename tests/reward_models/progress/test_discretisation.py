import numpy as np
import pytest

from reward_models.errors import UnknownNameError, UserError
from reward_models.progress.discretisation import frame_progress, sampled_frames, segments_between


def test_without_segments_the_whole_demonstration_is_one():
    # L = 200, n = 10, so 11 frames with both ends.
    assert sampled_frames(201, factor=20).tolist() == list(range(0, 201, 20))


def test_every_segment_gets_the_same_number_of_moments():
    # L = 120, n = 6, N = 2, m = 3, so 4 frames in each segment; they share frame 20.
    found = sampled_frames(200, segments=[(10, 20), (20, 130)], factor=20)
    assert found.tolist() == [10, 13, 17, 20, 57, 93, 130]


def test_paper_rounds_down_and_the_release_to_the_nearest():
    # n = 5, N = 2: m = 2.5 is rounded to the even 2; with 55 frames n / N = 2.75.
    sizes = [
        len(sampled_frames(56, segments=[(0, 30), (30, 55)], factor=10, parity=parity))
        for parity in ("release", "paper")
    ]
    assert sizes == [7, 5]


def test_at_least_both_ends_of_a_segment():
    assert sampled_frames(8, segments=[(0, 3), (3, 7)], factor=1000).tolist() == [0, 3, 7]


def test_only_frames_that_exist():
    assert sampled_frames(10, segments=[(0, 5), (5, 12)], factor=1000).tolist() == [0, 5]


def test_keyframes_and_progress():
    segments = segments_between([0, 4, 10])
    assert segments == [(0, 4), (4, 10)]
    sampled = sampled_frames(11, segments=segments, factor=1000)
    progress = frame_progress(11, sampled)
    assert progress[[0, 4, 10]].tolist() == [0.0, 0.5, 1.0]
    assert progress[2] == 0.25
    assert (np.diff(progress) > 0).all()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"frames": 1}, UserError),
        ({"frames": 5, "factor": 0}, UserError),
        ({"frames": 5, "segments": [(3, 3)]}, UserError),
        ({"frames": 5, "segments": [(4, 9)]}, UserError),
        ({"frames": 5, "parity": "relase"}, UnknownNameError),
    ],
)
def test_what_cannot_be_sampled_is_refused(options, error):
    with pytest.raises(error):
        sampled_frames(**options)
