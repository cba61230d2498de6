"""Setting the state of one arena, and saving it as numbers.

What the engine offers is all of the ball, the cars and the boost pads: positions, velocities and
rotations, timers of jumps, flips, boost and demolitions, contacts, controls, cooldowns. It does not
offer the grip and the forces of the wheels in the last tick, and it converts lengths between two
units on the way in and out, which rounds. A saved state therefore continues almost, not exactly, as
the arena it was read from; wherever it is loaded, it continues the same way bit for bit. `snapshot`
of `envs.rocket_league.matches.Matches` builds on that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.rocket_league.arenas import Arenas
from envs.rocket_league.starts import Start

CAR_NUMBERS = (
    "is_on_ground", "has_jumped", "has_double_jumped", "has_flipped", "is_flipping", "is_jumping",
    "air_time", "air_time_since_jump", "jump_time", "flip_time", "is_auto_flipping",
    "auto_flip_timer", "auto_flip_torque_scale", "boost", "time_spent_boosting", "is_supersonic",
    "supersonic_time", "handbrake_val", "is_demoed", "demo_respawn_timer", "has_world_contact",
    "car_contact_cooldown_timer",
)  # fmt: skip
CAR_VECTORS = ("pos", "vel", "ang_vel", "flip_rel_torque", "world_contact_normal")
_BOOLEAN = frozenset(name for name in CAR_NUMBERS if name.startswith(("is_", "has_")))
_AXES = ("forward", "right", "up")
_HIT_VECTORS = ("relative_pos_on_ball", "ball_pos", "extra_hit_vel")
_HIT_TICKS = ("tick_count_when_hit", "tick_count_when_extra_impulse_applied")
_CONTROLS = ("throttle", "steer", "pitch", "yaw", "roll", "jump", "boost", "handbrake")
_LONG_AGO = 1_000_000


def set_start(arenas: Arenas, index: int, start: Start) -> None:
    """Put one arena into a state in which an episode begins."""
    arenas.begin(index)
    engine, arena = arenas.engine, arenas.arenas[index]
    for place, car in enumerate(arenas.cars[index]):
        state = engine.CarState()
        state.pos = _vector(engine, start.car_position[place])
        state.vel = _vector(engine, start.car_velocity[place])
        state.ang_vel = _vector(engine, start.car_angular_velocity[place])
        yaw, pitch, roll = (float(angle) for angle in start.car_rotation[place])
        state.rot_mat = engine.Angle(yaw, pitch, roll).as_rot_mat()
        state.boost = float(start.boost[place])
        state.is_on_ground = bool(start.on_ground[place])
        state.wheels_with_contact = (state.is_on_ground,) * 4
        car.set_state(state)
    ball = engine.BallState()
    ball.pos = _vector(engine, start.ball_position)
    ball.vel = _vector(engine, start.ball_velocity)
    ball.ang_vel = _vector(engine, start.ball_angular_velocity)
    arena.ball.set_state(ball)
    for pad, timer in zip(arena.get_boost_pads(), start.pad_timers.tolist(), strict=True):
        pad.set_state(_pad_state(engine, timer, timer == 0, 0))
    arenas.set_pad_timers(index, start.pad_timers)


def save(arenas: Arenas, index: int) -> dict[str, np.ndarray]:
    """Return the state of one arena as arrays of numbers."""
    arena, cars = arenas.arenas[index], arenas.cars[index]
    first = cars[0].id
    states = [car.get_state() for car in cars]
    hits = [state.ball_hit_info for state in states]
    ball, now = arena.ball.get_state(), arena.tick_count
    pads = [pad.get_state() for pad in arena.get_boost_pads()]
    tree = {
        "car_numbers": np.array(
            [[getattr(state, name) for name in CAR_NUMBERS] for state in states], dtype=np.float32
        ),
        "car_vectors": np.array(
            [[getattr(state, name).as_tuple() for name in CAR_VECTORS] for state in states],
            dtype=np.float32,
        ),
        "car_axes": np.array([_axes(state.rot_mat) for state in states], dtype=np.float32),
        "car_wheels": np.array([state.wheels_with_contact for state in states], dtype=bool),
        "car_contact": np.array(
            [state.car_contact_id - first if state.car_contact_id else -1 for state in states]
        ),
        "car_controls": np.array([_controls(car.get_controls()) for car in cars], np.float32),
        "car_last_controls": np.array(
            [_controls(state.last_controls) for state in states], np.float32
        ),
        "hit_valid": np.array([hit.is_valid for hit in hits]),
        "hit_vectors": np.array(
            [[getattr(hit, name).as_tuple() for name in _HIT_VECTORS] for hit in hits], np.float32
        ),
        "hit_age": np.array(
            [[_age(now, getattr(hit, name)) for name in _HIT_TICKS] for hit in hits]
        ),
        "ball": np.array(
            [ball.pos.as_tuple(), ball.vel.as_tuple(), ball.ang_vel.as_tuple()], np.float32
        ),
        "ball_axes": np.array(_axes(ball.rot_mat), np.float32),
        "ball_last_hit": np.array(ball.last_hit_car_id - first if ball.last_hit_car_id else -1),
        "pad_cooldown": np.array([pad.cooldown for pad in pads], dtype=np.float32),
        "pad_active": np.array([pad.is_active for pad in pads], dtype=bool),
        "pad_car": np.array(
            [pad.prev_locked_car_id - first if pad.prev_locked_car_id else -1 for pad in pads]
        ),
    }
    return tree


def load(arenas: Arenas, index: int, tree: Mapping[str, np.ndarray]) -> None:
    """Put one arena into a saved state.

    The state is set twice, with a tick between: that gives the wheels the grip and the forces of
    one tick later, which is as close to those of the saved arena as the engine lets one come.
    """
    arenas.begin(index)
    _set(arenas, index, tree)
    arenas.arenas[index].step(1)
    _set(arenas, index, tree)
    arenas.forget_events(index)
    arenas.set_pad_timers(index, tree["pad_cooldown"])


def _set(arenas: Arenas, index: int, tree: Mapping[str, np.ndarray]) -> None:
    engine, arena, cars = arenas.engine, arenas.arenas[index], arenas.cars[index]
    first, now = cars[0].id, arena.tick_count
    for place, car in enumerate(cars):
        state = engine.CarState()
        for name, value in zip(CAR_NUMBERS, tree["car_numbers"][place].tolist(), strict=True):
            setattr(state, name, bool(value) if name in _BOOLEAN else value)
        for name, vector in zip(CAR_VECTORS, tree["car_vectors"][place], strict=True):
            setattr(state, name, _vector(engine, vector))
        state.rot_mat = _rotation(engine, tree["car_axes"][place])
        state.wheels_with_contact = tuple(tree["car_wheels"][place].tolist())
        contact = int(tree["car_contact"][place])
        state.car_contact_id = contact + first if contact >= 0 else 0
        state.last_controls = arenas.make_controls(tree["car_last_controls"][place].tolist())
        hit = engine.BallHitInfo()
        hit.is_valid = bool(tree["hit_valid"][place])
        for name, vector in zip(_HIT_VECTORS, tree["hit_vectors"][place], strict=True):
            setattr(hit, name, _vector(engine, vector))
        for name, age in zip(_HIT_TICKS, tree["hit_age"][place].tolist(), strict=True):
            setattr(hit, name, max(0, now - age))
        state.ball_hit_info = hit
        car.set_state(state)
        car.set_controls(arenas.make_controls(tree["car_controls"][place].tolist()))
    ball = engine.BallState()
    ball.pos, ball.vel, ball.ang_vel = (_vector(engine, vector) for vector in tree["ball"])
    ball.rot_mat = _rotation(engine, tree["ball_axes"])
    last_hit = int(tree["ball_last_hit"])
    ball.last_hit_car_id = last_hit + first if last_hit >= 0 else 0
    arena.ball.set_state(ball)
    for place, pad in enumerate(arena.get_boost_pads()):
        car_place = int(tree["pad_car"][place])
        pad.set_state(
            _pad_state(
                engine,
                float(tree["pad_cooldown"][place]),
                bool(tree["pad_active"][place]),
                car_place + first if car_place >= 0 else 0,
            )
        )


def _age(now: int, tick: int) -> int:
    """Return for how many ticks something is over; the engine writes a huge tick for never."""
    return min(now - tick, _LONG_AGO) if tick <= now else _LONG_AGO


def _vector(engine: Any, values: np.ndarray) -> Any:
    x, y, z = values.tolist()
    return engine.Vec(x, y, z)


def _axes(rotation: Any) -> list[tuple[float, ...]]:
    return [getattr(rotation, name).as_tuple() for name in _AXES]


def _rotation(engine: Any, axes: np.ndarray) -> Any:
    return engine.RotMat(*(_vector(engine, axis) for axis in axes))


def _controls(controls: Any) -> list[float]:
    return [float(getattr(controls, name)) for name in _CONTROLS]


def _pad_state(engine: Any, cooldown: float, active: bool, car: int) -> Any:
    state = engine.BoostPadState()
    state.cooldown, state.is_active, state.prev_locked_car_id = cooldown, active, car
    return state
