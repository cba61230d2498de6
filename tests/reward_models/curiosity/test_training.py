from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from reward_models.curiosity.training import MinibatchTrainer
from reward_models.errors import UserError


def _losses(network):
    return lambda x, y: {"loss": (network(x) - y).square().mean(-1)}


def _network() -> nn.Linear:
    network = nn.Linear(3, 2)
    with torch.no_grad():
        network.weight.fill_(0.1)
        network.bias.fill_(0.2)
    return network


def _data(size: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size, 3, generator=generator), torch.randn(size, 2, generator=generator)


def test_one_full_batch_is_one_step_of_adam():
    network, reference = _network(), _network()
    x, y = _data()
    metrics = MinibatchTrainer(network.parameters(), batch_size=50).minimize(
        (x, y), _losses(network)
    )
    loss = (reference(x) - y).square().mean()
    loss.backward()
    torch.optim.Adam(reference.parameters(), lr=1e-3).step()
    torch.testing.assert_close(network.weight, reference.weight)
    assert metrics == {"loss": pytest.approx(loss.item())}


def test_every_sample_is_used_once_an_epoch():
    network = _network()
    seen = []

    def losses(x):
        seen.append(x[:, 0].clone())
        return {"loss": network(x).square().mean(-1)}

    x = torch.arange(7.0).reshape(-1, 1).expand(-1, 3)
    MinibatchTrainer(network.parameters(), batch_size=3, epochs=2).minimize((x,), losses)
    assert [len(rows) for rows in seen] == [3, 3, 1, 3, 3, 1]
    first, second = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(7))
    assert first.tolist() != second.tolist()


def test_kept_share_is_averaged_over_the_kept_alone():
    network = _network()
    trainer = MinibatchTrainer(network.parameters(), update_proportion=0.25)
    loss = torch.arange(1.0, 2001.0)
    generator = torch.Generator().manual_seed(5)
    mean = trainer._mean_of_kept(loss, generator)
    kept = torch.rand(2000, generator=torch.Generator().manual_seed(5)) < 0.25
    assert 400 < int(kept.sum()) < 600
    torch.testing.assert_close(mean, loss[kept].mean())


def test_nothing_kept_loses_nothing():
    trainer = MinibatchTrainer(_network().parameters(), update_proportion=1e-9)
    assert float(trainer._mean_of_kept(torch.ones(3), torch.Generator().manual_seed(0))) == 0.0


def test_global_generator_is_left_alone_and_no_gradient_stays():
    network = _network()
    trainer = MinibatchTrainer(network.parameters(), batch_size=8, update_proportion=0.5)
    state = torch.get_rng_state()
    with torch.no_grad():
        trainer.minimize(_data(), _losses(network))
    assert torch.equal(torch.get_rng_state(), state)
    assert network.weight.grad is None


def test_gradients_of_others_are_not_learned():
    networks = [_network(), _network()]
    networks[1](torch.ones(4, 3)).sum().backward()
    for network in networks:
        MinibatchTrainer(network.parameters()).minimize(_data(), _losses(network))
    assert torch.equal(networks[0].weight, networks[1].weight)


@pytest.mark.parametrize("trained_before_loading", [False, True])
def test_restored_training_continues_bit_for_bit(trained_before_loading):
    network, other = _network(), _network()
    trainer, restored = (
        MinibatchTrainer(n.parameters(), batch_size=8, update_proportion=0.5, seed=s)
        for n, s in ((network, 0), (other, 1))
    )
    trainer.minimize(_data(), _losses(network))
    if trained_before_loading:
        restored.minimize(_data(), _losses(other))
    saved = copy.deepcopy((network.state_dict(), trainer.state_dict()))
    assert all(isinstance(value, torch.Tensor) for value in saved[1].values())
    other.load_state_dict(saved[0])
    restored.load_state_dict(saved[1])
    trainer.minimize(_data(), _losses(network))
    restored.minimize(_data(), _losses(other))
    assert torch.equal(network.weight, other.weight)
    assert torch.equal(trainer.get_extra_state(), restored.get_extra_state())
    assert torch.equal(trainer.generator_state, restored.generator_state)


def test_state_of_an_untrained_trainer_restores_an_untrained_one():
    network, other = _network(), _network()
    trainer = MinibatchTrainer(network.parameters())
    restored = MinibatchTrainer(other.parameters(), seed=1)
    restored.load_state_dict(trainer.state_dict())
    trainer.minimize(_data(), _losses(network))
    restored.minimize(_data(), _losses(other))
    assert torch.equal(network.weight, other.weight)


def test_state_of_another_model_is_refused():
    small = MinibatchTrainer(nn.Linear(2, 2).parameters())
    with pytest.raises(UserError, match="14 numbers for this model"):
        small.load_state_dict(MinibatchTrainer(_network().parameters()).state_dict())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("batch_size", 0),
        ("epochs", 0),
        ("update_proportion", 0.0),
        ("update_proportion", 1.5),
    ],
)
def test_numbers_out_of_range_are_refused(option, value):
    with pytest.raises(UserError, match=option):
        MinibatchTrainer(_network().parameters(), **{option: value})
