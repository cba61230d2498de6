"""RLGym's ``GameState`` of arenas that this project steps itself.

Reward functions, done conditions and observation builders that were written for RLGym then work on
the fast environment's matches and give the same numbers. A ``GameState`` has many quantities that
the arrays leave out, so it is read from the engine, per arena, and only where somebody asks for it:
about 20 microseconds for two cars, more than stepping them.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from rlgym.rocket_league.api import Car, GameConfig, GameState, PhysicsObject
from rlgym.rocket_league.common_values import GOAL_THRESHOLD, OCTANE

from envs.rocket_league.arenas import Arenas


@final
class GameStates:
    """Reads arenas as RLGym's simulator would.

    Making one sets the touch callback of every arena; it counts from then on.

    Args:
        arenas: the arenas.

    Attributes:
        agents: RLGym's names of the cars, in the order of columns: ``"blue-0"``, ``"blue-1"``,
            ..., ``"orange-0"``, ...
    """

    def __init__(self, arenas: Arenas) -> None:
        self._arenas = arenas
        blue = int((arenas.team == 0).sum())
        self.agents = [f"blue-{place}" for place in range(blue)]
        self.agents += [f"orange-{place}" for place in range(arenas.num_cars - blue)]
        self._config = GameConfig()
        self._config.gravity = 1
        self._config.boost_consumption = 1
        self._config.dodge_deadzone = 0.5
        self._names: list[dict[int, str]] = []
        self._touches: list[dict[int, int]] = []
        for arena, cars in zip(arenas.arenas, arenas.cars, strict=True):
            self._names.append({car.id: name for car, name in zip(cars, self.agents, strict=True)})
            self._touches.append({car.id: 0 for car in cars})
            arena.set_ball_touch_callback(_count_touch, self._touches[-1])

    def read(self, index: int) -> Any:
        """Return the present ``GameState`` of one arena; touches count since the last call for it.

        Args:
            index: of the arena.
        """
        arena, ticks = self._arenas.arenas[index], int(self._arenas.state.ticks[index])
        state: GameState[str] = GameState()
        state.tick_count = ticks
        state.config = self._config
        state.ball = _physics(arena.ball.get_state())
        state.goal_scored = bool(abs(state.ball.position[1]) > GOAL_THRESHOLD)
        names, touches = self._names[index], self._touches[index]
        state.cars = {}
        for car in self._arenas.cars[index]:
            state.cars[names[car.id]] = _car(car, names, touches)
        timers = [pad.get_state().cooldown for pad in arena.get_boost_pads()]
        state.boost_pad_timers = np.array(timers, dtype=np.float32)
        return state

    def begin(self, index: int) -> Any:
        """Return the first ``GameState`` of an episode of one arena: no touch has happened yet."""
        self._touches[index].update(dict.fromkeys(self._touches[index], 0))
        return self.read(index)


def _count_touch(arena: Any, car: Any, data: dict[int, int]) -> None:
    data[car.id] += 1


def _physics(body: Any) -> PhysicsObject:
    """Return position, speeds and axes of a body of the engine."""
    physics = PhysicsObject()
    physics.position = body.pos.as_numpy()
    physics.linear_velocity = body.vel.as_numpy()
    physics.angular_velocity = body.ang_vel.as_numpy()
    # The engine has the axes in rows, RLGym in columns.
    physics.rotation_mtx = np.ascontiguousarray(body.rot_mat.as_numpy().reshape(3, 3).T)
    return physics


def _car(source: Any, names: dict[int, str], touches: dict[int, int]) -> Any:
    body = source.get_state()
    car: Car[str] = Car()
    car.team_num = source.team
    car.hitbox_type = OCTANE
    car.physics = _physics(body)
    car.demo_respawn_timer = body.demo_respawn_timer
    car.wheels_with_contact = body.wheels_with_contact
    car.supersonic_time = body.supersonic_time
    car.boost_amount = body.boost
    car.boost_active_time = body.time_spent_boosting
    car.handbrake = body.handbrake_val
    car.has_jumped = body.has_jumped
    car.is_holding_jump = body.last_controls.jump
    car.is_jumping = body.is_jumping
    car.jump_time = body.jump_time
    car.has_flipped = body.has_flipped
    car.has_double_jumped = body.has_double_jumped
    car.air_time_since_jump = body.air_time_since_jump
    car.flip_time = body.flip_time
    car.flip_torque = body.flip_rel_torque.as_numpy()
    car.is_autoflipping = body.is_auto_flipping
    car.autoflip_timer = body.auto_flip_timer
    car.autoflip_direction = body.auto_flip_torque_scale
    bumped = body.car_contact_cooldown_timer > 0
    car.bump_victim_id = names[body.car_contact_id] if bumped else None
    car.ball_touches, touches[source.id] = touches[source.id], 0
    return car
