"""Rewards for bodies that play a ball towards a goal, read from named quantities of a simulator.

``shapes`` and ``combination`` are the formulas of Lucy-SKG (Moschopoulos, Kyriakidis, Lazaridis and
Vlahavas 2023) as functions of tensors; ``components`` gives them names, and ``utility`` weighs
and combines them from plain data. On these stand the rewards: ``state_reward`` pays what a moment
is worth, ``state_potential`` its change, ``match_events`` what happened, ``pressure`` being near a
goal for long, and ``team_spirit`` shares any reward within a team. Everything is computed for all
cars of all matches at once, and works wherever ``state`` names the quantities.
"""
