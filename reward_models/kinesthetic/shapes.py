"""Shape functions: how near, how well aligned, how fast, each as a number of about -1 to 1.

The formulas are those of Lucy-SKG and its public code. All are functions of tensors with any
leading sizes; D is 2 or 3. ``dispersion`` stretches the length in which a closeness decays, so
that a larger one flattens it; ``density`` is the root that is drawn from it, so that a larger one
raises values below 1. Both are positive.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.errors import UserError
from reward_models.kinesthetic.combination import kinesthetic_combination
from reward_models.kinesthetic.field import FIELD, Field

Vectors = Float[Tensor, "*batch D"]
Numbers = Float[Tensor, "*batch"]
_TINY = 1e-8


def ball_to_goal(
    ball_position: Vectors,
    team: Numbers,
    *,
    own_goal: bool = False,
    dispersion: float = 1.0,
    density: float = 1.0,
    field: Field = FIELD,
) -> Numbers:
    """Return ``exp(-0.5 (|b - G| - depth) / (6000 w))^(1/k)``: how near the ball is to a goal.

    In (0, 1] in front of the goal line, and up to ``exp(0.5 depth / (6000 w))^(1/k)``, 1.085 for
    w = k = 1, inside the net.

    Args:
        ball_position: b.
        team: 0 or 1.
        own_goal: of the own goal, else of the attacked one.
        dispersion: w.
        density: k.
        field: measures.
    """
    _check_positive(dispersion=dispersion, density=density)
    distance = goal_distance(ball_position, 1.0 - team if own_goal else team, field=field)
    return torch.exp(distance * (-0.5 / (field.ball_max_speed * dispersion * density)))


def signed_ball_to_goal(
    ball_position: Vectors,
    team: Numbers,
    *,
    dispersion: float = 1.0,
    density: float = 1.0,
    field: Field = FIELD,
) -> Numbers:
    """Return the closeness of the ball to the attacked goal, with a sign.

    ``sign(x) |x|^(1/k)`` with ``x = 2 (exp(-0.5 (|b - G| - depth) / (4570 w)) - 0.5)``: about 0
    where the ball is beside the middle of the field, above -1, and above 1 inside the net only.

    Args:
        ball_position: b.
        team: 0 or 1.
        dispersion: w.
        density: k.
        field: measures.
    """
    _check_positive(dispersion=dispersion, density=density)
    distance = goal_distance(ball_position, team, field=field)
    signed = 2.0 * torch.exp(distance * (-0.5 / (field.halfway * dispersion))) - 1.0
    return _signed_power(signed, 1.0 / density)


def goal_difference(
    ball_position: Vectors,
    team: Numbers,
    *,
    offence_dispersion: float = 1.0,
    offence_density: float = 1.0,
    offence_factor: float = 1.0,
    defence_dispersion: float = 1.0,
    defence_density: float = 1.0,
    defence_factor: float = 1.0,
    field: Field = FIELD,
) -> Numbers:
    """Return closeness of the ball to the attacked goal minus closeness to the own one.

    Args:
        ball_position: of the ball.
        team: 0 or 1.
        offence_dispersion: of the closeness to the attacked goal.
        offence_density: likewise.
        offence_factor: what it is multiplied by.
        defence_dispersion: of the closeness to the own goal.
        defence_density: likewise.
        defence_factor: what it is multiplied by.
        field: measures.
    """
    offence = ball_to_goal(
        ball_position, team, dispersion=offence_dispersion, density=offence_density, field=field
    )
    defence = ball_to_goal(
        ball_position, team, own_goal=True, dispersion=defence_dispersion,
        density=defence_density, field=field,
    )  # fmt: skip
    return offence_factor * offence - defence_factor * defence


def player_to_ball(
    car_position: Vectors,
    ball_position: Vectors,
    *,
    dispersion: float = 1.0,
    density: float = 1.0,
    field: Field = FIELD,
) -> Numbers:
    """Return ``exp(-0.5 (|p - b| - radius) / (2300 w))^(1/k)``: how near the car is to the ball.

    In (0, 1] outside the ball; up to 1.02 where the car's middle is inside it, for w = k = 1.

    Args:
        car_position: p.
        ball_position: b.
        dispersion: w.
        density: k.
        field: measures.
    """
    _check_positive(dispersion=dispersion, density=density)
    distance = _length(ball_position - car_position) - field.ball_radius
    return torch.exp(distance * (-0.5 / (field.car_max_speed * dispersion * density)))


def align(
    car_position: Vectors,
    ball_position: Vectors,
    team: Numbers,
    *,
    defence_factor: float = 0.5,
    offence_factor: float = 0.5,
    field: Field = FIELD,
) -> Numbers:
    """Return ``d cos(b - p, p - G-) + o cos(b - p, G+ - p)``: own goal, car, ball, other goal.

    1 where they lie on one line in this order; in [-1, 1] while ``d + o = 1``.

    Args:
        car_position: p.
        ball_position: b.
        team: 0 or 1.
        defence_factor: d.
        offence_factor: o.
        field: measures.
    """
    to_ball = ball_position - car_position
    goal = field.attacked_goal(team, ball_position)
    own = field.attacked_goal(1.0 - team, ball_position)
    return defence_factor * _cosine(to_ball, car_position - own) + offence_factor * _cosine(
        to_ball, goal - car_position
    )


def velocity_player_to_ball(
    car_position: Vectors, car_velocity: Vectors, ball_position: Vectors, *, field: Field = FIELD
) -> Numbers:
    """Return the speed of the car towards the ball, in units of its top speed: in [-1, 1].

    Args:
        car_position: of the car.
        car_velocity: of the car.
        ball_position: of the ball; where both are in one place the value is 0.
        field: measures.
    """
    return _speed_towards(car_velocity, ball_position - car_position) / field.car_max_speed


def velocity_ball_to_goal(
    ball_position: Vectors, ball_velocity: Vectors, team: Numbers, *, field: Field = FIELD
) -> Numbers:
    """Return the speed of the ball towards the attacked goal, in units of its top speed: [-1, 1].

    Args:
        ball_position: of the ball.
        ball_velocity: of the ball.
        team: 0 or 1.
        field: measures.
    """
    return speed_to_goal(ball_position, ball_velocity, team, field=field) / field.ball_max_speed


def speed_to_goal(
    ball_position: Vectors, ball_velocity: Vectors, team: Numbers, *, field: Field = FIELD
) -> Numbers:
    """Return the component of the ball's velocity towards the attacked goal, in its own unit.

    Args:
        ball_position: of the ball.
        ball_velocity: of the ball.
        team: 0 or 1.
        field: measures.
    """
    goal = field.attacked_goal(team, ball_position)
    return _speed_towards(ball_velocity, goal - ball_position)


def save_boost(boost: Numbers) -> Numbers:
    """Return ``sqrt(boost)``: the first half of the boost is worth more than the second.

    Args:
        boost: in [0, 1].

    Raises:
        UserError: boost above 1, as in the 0 to 100 of RocketSim and RLGym v2, or below 0.
    """
    if boost.numel():
        low, high = (float(bound) for bound in boost.aminmax())
        if high > 1.001 or low < -0.001:
            raise UserError(
                f"boost must lie in [0, 1], got {high if high > 1.001 else low:g}. Where it is "
                "counted from 0 to 100, say so: boost_unit: percent."
            )
    return boost.clamp(0.0, 1.0).sqrt()


def ball_y(
    ball_position: Vectors, team: Numbers, *, exponent: float = 1.0, field: Field = FIELD
) -> Numbers:
    """Return ``sign(y) |y / (5120 + radius)|^e`` with y towards the attacked goal.

    Args:
        ball_position: of the ball.
        team: 0 or 1.
        exponent: e, positive.
        field: measures.
    """
    _check_positive(exponent=exponent)
    along = ball_position[..., 1] * (1.0 - 2.0 * team) / (field.back_wall_y + field.ball_radius)
    return _signed_power(along, exponent)


def distance_weighted_align(
    car_position: Vectors,
    ball_position: Vectors,
    team: Numbers,
    *,
    dispersion: float = 1.0,
    density: float = 1.0,
    field: Field = FIELD,
) -> Numbers:
    """Return the kinesthetic combination of `align` and `player_to_ball`: in [-1, 1].

    Args:
        car_position: of the car.
        ball_position: of the ball.
        team: 0 or 1.
        dispersion: of the closeness.
        density: of the closeness.
        field: measures.
    """
    near = player_to_ball(
        car_position, ball_position, dispersion=dispersion, density=density, field=field
    )
    return kinesthetic_combination(
        [align(car_position, ball_position, team, field=field), near.clamp_max(1.0)]
    )


def offensive_potential(
    car_position: Vectors,
    car_velocity: Vectors,
    ball_position: Vectors,
    team: Numbers,
    *,
    dispersion: float = 1.0,
    density: float = 1.0,
    field: Field = FIELD,
) -> Numbers:
    """Return the kinesthetic combination of alignment, speed to the ball and closeness: [-1, 1].

    Positive only for a car that is aligned and drives towards the ball.

    Args:
        car_position: of the car.
        car_velocity: of the car.
        ball_position: of the ball.
        team: 0 or 1.
        dispersion: of the closeness.
        density: of the closeness.
        field: measures.
    """
    near = player_to_ball(
        car_position, ball_position, dispersion=dispersion, density=density, field=field
    )
    towards = velocity_player_to_ball(car_position, car_velocity, ball_position, field=field)
    return kinesthetic_combination(
        [
            align(car_position, ball_position, team, field=field),
            # Demolitions and bumps can push a car a little beyond its top speed.
            towards.clamp(-1.0, 1.0),
            near.clamp_max(1.0),
        ]
    )


def goal_distance(position: Vectors, team: Numbers, *, field: Field = FIELD) -> Numbers:
    """Return how far a point is from the line of the goal a team attacks: ``|x - G| - depth``.

    Args:
        position: of a ball or car.
        team: 0 or 1.
        field: measures.
    """
    return _length(field.attacked_goal(team, position) - position) - field.goal_depth


def _length(vectors: Tensor) -> Tensor:
    return vectors.square().sum(-1).sqrt()


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    lengths = _length(first) * _length(second)
    return ((first * second).sum(-1) / lengths.clamp_min(_TINY)).clamp(-1.0, 1.0)


def _speed_towards(velocity: Tensor, way: Tensor) -> Tensor:
    return (velocity * way).sum(-1) / (_length(way) + _TINY)


def _signed_power(value: Tensor, power: float) -> Tensor:
    return value if power == 1.0 else value.sign() * value.abs() ** power


def _check_positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not (number > 0.0 and math.isfinite(number)):
            raise UserError(f"{name} must be positive and finite, got {number}.")
