import pytest
import torch

from reward_models.errors import UserError
from reward_models.progress.labels import ScoreParser, hop_labels, score_bins, score_text


def test_hops_of_eleven_moments():
    """M = 10: (2,5) .375, (5,2) -.6, (0,10) 1, (10,0) -1, (9,10) 1, (4,4) 0."""
    before, after = torch.tensor([2, 5, 0, 10, 9, 4]), torch.tensor([5, 2, 10, 0, 10, 4])
    expected = torch.tensor([0.375, -0.6, 1.0, -1.0, 1.0, 0.0])
    torch.testing.assert_close(hop_labels(before, after, 10), expected)


def test_every_hop_of_every_length_lies_in_range_and_has_the_sign_of_time():
    for last in range(1, 30):
        before, after = torch.cartesian_prod(torch.arange(last + 1), torch.arange(last + 1)).unbind(
            1
        )
        hops = hop_labels(before, after, last)
        assert float(hops.abs().max()) == 1.0
        assert torch.equal(hops.sign(), (after - before).sign().to(hops))


def test_each_pair_may_have_its_own_length():
    hops = hop_labels(torch.tensor([0, 0]), torch.tensor([2, 2]), torch.tensor([4, 8]))
    assert hops.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(("before", "after", "last"), [(0, 11, 10), (-1, 2, 10), (0, 0, 0)])
def test_moments_outside_of_the_demonstration_are_refused(before, after, last):
    with pytest.raises(UserError, match="must lie in"):
        hop_labels(torch.tensor([before]), torch.tensor([after]), last)


def test_scores_in_text():
    parser = ScoreParser()
    assert parser("<score>+12.5%</score>") == 0.125
    assert parser("it went back, <score>-130%</score>") == -1.0
    assert parser.failures == 0
    assert parser("no tag") == 0.0
    assert parser.failures == 1
    assert parser(score_text(0.33)) == pytest.approx(0.33)
    assert score_text(0.33) == "<score>+33.0%</score>"
    assert parser("<score>soon</score>") == 0.0
    assert parser.failures == 2


def test_bins_of_scores():
    """25 bins of 8 %: -100 falls into 0, 0 into 12, 100 into 24."""
    hops = torch.tensor([-1.0, -0.92, 0.0, 0.04, 0.92, 1.0])
    assert score_bins(hops).tolist() == [0, 1, 12, 13, 24, 24]
