"""State representation: the error, what it excludes, and where its gradient goes."""

import pytest
import torch

from ctrl.objectives.auxiliary.state_representation import (
    StateRepresentation,
    reconstruction_loss,
)
from reward_models.errors import UserError


def bound(policy, **options):
    torch.manual_seed(1)
    term = StateRepresentation(**options)
    term.bind(policy)
    return term


def test_the_error_of_the_page():
    rebuilt, entities = torch.tensor([[[0.5, -2.0]]]), torch.tensor([[[0.0, 1.0]]])
    loss = reconstruction_loss(rebuilt, entities, torch.zeros(1, 1, dtype=torch.bool))
    # 0.5 * 0.5^2 and 3 - 0.5, in the mean.
    assert float(loss) == pytest.approx(1.3125)


def test_that_padded_entities_are_left_out_of_value_and_gradient():
    entities = torch.zeros(2, 3, 2)
    rebuilt = torch.ones(2, 3, 2)
    rebuilt[:, 2] = float("nan")
    rebuilt.requires_grad_(True)
    padding = torch.tensor([[False, False, True]]).expand(2, -1)
    loss = reconstruction_loss(rebuilt, entities, padding)
    assert float(loss.detach()) == pytest.approx(0.5)
    loss.backward()
    assert torch.equal(rebuilt.grad[:, 2], torch.zeros(2, 2))
    assert (rebuilt.grad[:, :2] == 1 / 8).all()
    nothing = reconstruction_loss(rebuilt, entities, torch.ones(2, 3, dtype=torch.bool))
    assert float(nothing.detach()) == 0.0


def test_that_the_decoder_gives_negative_numbers_and_one_step_is_enough(policy, batch, observed):
    term = bound(policy)
    done = torch.zeros(1, 1, dtype=torch.bool)
    seen = observed(1, 1, torch.full((1, 1), -3.0))
    optimiser = torch.optim.Adam([*policy.parameters(), *term.parameters()], lr=3e-3)
    for _ in range(60):
        loss, metrics = term(*batch(seen, torch.zeros(1, 1), done))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert metrics["of_zeros"] == pytest.approx(2.5)
    assert float(loss.detach()) < 0.1


def test_the_widths_of_the_page(policy):
    layers = [m for m in bound(policy).coder if isinstance(m, torch.nn.Linear)]
    assert [m.out_features for m in layers] == [128, 32, 16, 32, 128, 512, 512, 2 * 4]
    assert isinstance(bound(policy).coder[-2], torch.nn.Linear)


def test_where_its_gradient_goes(policy, batch, observed):
    term = bound(policy)
    loss, _ = term(*batch(observed(3, 2), torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.bool)))
    loss.backward()
    actor = policy.actor_attention
    acts = [*actor.query_embedding.parameters(), *actor.entity_embedding.parameters()]
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in acts)
    assert all(p.grad is not None for p in term.parameters())
    touched = {id(p) for p in acts}
    rest = [p for p in policy.parameters() if id(p) not in touched]
    assert rest
    assert all(p.grad is None for p in rest)


def test_what_is_refused(policy):
    with pytest.raises(UserError, match="at least one encoder"):
        StateRepresentation(encoder=[])
    with pytest.raises(UserError, match="at least 1; got"):
        StateRepresentation(decoder=[0])
    with pytest.raises(UserError, match=r"state_representation .*Linear has none"):
        StateRepresentation().bind(torch.nn.Linear(1, 1))
