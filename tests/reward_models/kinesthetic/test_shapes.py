from __future__ import annotations

import pytest
import torch

from reward_models.errors import UserError
from reward_models.kinesthetic import shapes
from reward_models.kinesthetic.components import COMPONENTS
from reward_models.kinesthetic.field import FIELD, Field, as_field

BLUE = torch.tensor(0.0)
BALL = torch.tensor([0.0, 0.0, 92.75])
CAR_A = (torch.tensor([0.0, -1000.0, 17.0]), torch.tensor([0.0, 1500.0, 0.0]))
CAR_B = (torch.tensor([1000.0, 1000.0, 17.0]), torch.tensor([-500.0, -500.0, 0.0]))


def close(value: torch.Tensor, expected: float) -> None:
    assert float(value) == pytest.approx(expected, abs=1.5e-6)


class TestOracles:
    """The numbers of the method's description, digit by digit."""

    def test_ball_to_goal(self) -> None:
        close(shapes.ball_to_goal(BALL, BLUE), 0.657507)
        close(shapes.ball_to_goal(BALL, BLUE, dispersion=0.6), 0.497165)
        close(shapes.ball_to_goal(BALL, BLUE, own_goal=True, dispersion=0.4), 0.350550)
        difference = shapes.goal_difference(
            BALL, BLUE, offence_dispersion=0.6, defence_dispersion=0.4
        )
        close(difference, 0.146614)

    def test_ball_in_the_net(self) -> None:
        assert shapes.ball_to_goal(torch.tensor([0.0, 5900.0, 92.75]), BLUE) > 1
        back = torch.tensor([0.0, FIELD.goal_y, FIELD.goal_z])
        close(shapes.ball_to_goal(back, BLUE), 1.084439)

    def test_car_a(self) -> None:
        position, velocity = CAR_A
        close(shapes.align(position, BALL, BLUE), 0.995097)
        close(shapes.velocity_player_to_ball(position, velocity, BALL), 0.650311)
        close(shapes.player_to_ball(position, BALL, density=1.1), 0.835383)
        close(shapes.offensive_potential(position, velocity, BALL, BLUE, density=1.1), 0.814624)
        close(shapes.distance_weighted_align(position, BALL, BLUE, dispersion=1.1), 0.911750)

    def test_car_b(self) -> None:
        position, velocity = CAR_B
        close(shapes.align(position, BALL, BLUE), -0.675075)
        close(shapes.velocity_player_to_ball(position, velocity, BALL), 0.306998)
        close(shapes.player_to_ball(position, BALL, density=1.1), 0.769850)
        close(shapes.offensive_potential(position, velocity, BALL, BLUE, density=1.1), -0.542373)
        close(shapes.distance_weighted_align(position, BALL, BLUE, dispersion=1.1), -0.720907)

    def test_signed_ball_to_goal_beside_the_middle(self) -> None:
        close(shapes.signed_ball_to_goal(torch.tensor([4096.0, 0.0, 93.0]), BLUE), 0.004357)


class TestInvariants:
    def test_half_a_turn_and_other_team_changes_nothing(self) -> None:
        """Every shape function sees the field from its own side."""
        random = torch.Generator().manual_seed(0)
        turn = torch.tensor([-1.0, -1.0, 1.0])
        given = {
            name: 1500 * torch.randn(500, 3, generator=random)
            for name in ("ball_position", "ball_velocity", "car_position", "car_velocity")
        }
        given["boost"] = torch.rand(500, generator=random)
        team = torch.randint(2, (500,), generator=random).float()
        for name, component in COMPONENTS.items():
            here = [team if q == "team" else given[q] for q in component.quantities]
            there = [
                1 - team if q == "team" else given[q] if q == "boost" else given[q] * turn
                for q in component.quantities
            ]
            one, two = component.function(*here), component.function(*there)
            assert torch.allclose(one, two, atol=1e-6), name
            if "team" in component.quantities:  # and the team matters
                swapped = [1 - team if q == "team" else given[q] for q in component.quantities]
                assert not torch.allclose(one, component.function(*swapped), atol=1e-2), name

    @pytest.mark.parametrize("name", ["ball_to_goal", "player_to_ball", "signed_ball_to_goal"])
    def test_closeness_decreases_and_dispersion_flattens(self, name: str) -> None:
        """Along the line away from the target; a wide one falls less over the same distance."""
        y = torch.linspace(4500, -4500, 60)
        ball = torch.stack([torch.zeros(60), y, torch.full((60,), 100.0)], -1)
        fixed = torch.tensor([0.0, 4800.0, 100.0]).expand(60, 3)

        def value(**options: float) -> torch.Tensor:
            if name == "player_to_ball":
                return shapes.player_to_ball(ball, fixed, **options)
            return getattr(shapes, name)(ball, torch.zeros(60), **options)

        narrow, wide = value(dispersion=0.5), value(dispersion=2.0)
        assert bool((narrow.diff() < 0).all())
        assert bool((wide.diff() < 0).all())
        assert float(wide[0] - wide[-1]) < float(narrow[0] - narrow[-1])
        if name != "signed_ball_to_goal":
            assert bool((value(density=2.0) > value()).all())

    def test_speeds_and_boost(self) -> None:
        flying = torch.tensor([0.0, 3000.0, 0.0])
        goal_height = torch.tensor([0.0, 0.0, FIELD.goal_z])
        close(shapes.velocity_ball_to_goal(goal_height, flying, BLUE), 0.5)
        close(shapes.velocity_ball_to_goal(goal_height, flying, 1 - BLUE), -0.5)
        close(shapes.save_boost(torch.tensor(0.25)), 0.5)
        high = torch.tensor([0.0, 2606.375, 0.0])
        close(shapes.ball_y(high, BLUE), 0.5)
        close(shapes.ball_y(high, 1 - BLUE, exponent=2.0), -0.25)

    def test_car_inside_the_ball_gives_numbers(self) -> None:
        """No direction exists there: 0, not NaN."""
        assert float(shapes.velocity_player_to_ball(BALL, CAR_A[1], BALL)) == 0.0
        assert float(shapes.offensive_potential(BALL, CAR_A[1], BALL, BLUE)) == 0.0

    def test_plane_without_height(self) -> None:
        """A field of two coordinates has its goals on the floor."""
        field = Field(goal_y=6.0, back_wall_y=5.0, ball_radius=0.1, ball_max_speed=6.0)
        ball = torch.tensor([0.0, 4.9])
        assert float(shapes.ball_to_goal(ball, BLUE, field=field)) == pytest.approx(1.0)


class TestRefusals:
    @pytest.mark.parametrize("option", ["dispersion", "density"])
    @pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
    def test_options_out_of_range(self, option: str, value: float) -> None:
        with pytest.raises(UserError, match=f"{option} must be positive"):
            shapes.ball_to_goal(BALL, BLUE, **{option: value})

    def test_boost_of_0_to_100(self) -> None:
        with pytest.raises(UserError, match=r"\[0, 1\], got 33.3.*boost_unit: percent"):
            shapes.save_boost(torch.tensor([0.2, 33.3]))

    def test_field(self) -> None:
        assert as_field({"goal_z": 0, "goal_y": 7000}).goal_y == 7000
        assert as_field(None) is FIELD
        with pytest.raises(UserError, match="goal_y"):
            as_field({"goal_yy": 3.0})
        with pytest.raises(UserError, match="must be a number"):
            as_field({"goal_y": "far"})
        with pytest.raises(UserError, match="behind goal_y"):
            as_field({"goal_y": 100.0})
