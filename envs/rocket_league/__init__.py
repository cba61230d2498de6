"""Rocket League on the engine RocketSim.

From the engine outwards: ``meshes`` and ``arenas`` hold it; ``arena_state`` is what is read;
``actions``, ``starts``, ``observation``, ``events`` and ``info`` are what a driver does, where
an episode begins, and what is made of the state; ``matches`` puts them together for the two
interfaces ``environment`` (one car) and ``vector`` (every car a column). The files ``rlgym_*`` are
the bridge to RLGym v2's components; nothing else here imports RLGym.
"""
