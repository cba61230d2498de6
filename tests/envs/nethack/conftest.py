"""Small levels on which everything that a test needs happens within a few moves."""

import pytest

import envs

pytest.importorskip("nle")
pytest.importorskip("minihack")

HALL = """MAZE:"mylevel",' '
FLAGS:noteleport
GEOMETRY:center,center
MAP
|------|
|......|
|------|
ENDMAP
REGION:(0,0,7,2),lit,"ordinary"
BRANCH:(1,1,1,1),(0,0,0,0)
"""
# Gold, an apple, a newt, a closed door and the stairs, one after the other to the east.
STREET = f"""{HALL}GOLD:10,(2,1)
OBJECT:('%',"apple"),(3,1)
MONSTER:"newt",(4,1)
DOOR:closed,(5,1)
STAIR:(6,1),down
"""
HOLE = f"""{HALL}TRAP:"hole",(2,1)
"""
DEADLY = f"""{HALL}MONSTER:"minotaur",(2,1)
"""


@pytest.fixture
def make():
    """Make environments that are closed at the end of the test."""
    made = []

    def build(name, **options):
        made.append(envs.make(name, **options))
        return made[-1]

    yield build
    for env in made:
        env.close()


@pytest.fixture
def hall(make):
    """Make a level of one's own, with moves east and west and the opening of doors."""

    def build(level, **options):
        options = {"actions": ["E", "W", "OPEN"], **options}
        return make("MiniHack-Navigation-Custom-v0", des_file=level, **options)

    return build


@pytest.fixture
def street(hall):
    return lambda **options: hall(STREET, **options)


@pytest.fixture
def hole(hall):
    return hall(HOLE)


@pytest.fixture
def deadly(hall):
    return lambda **options: hall(DEADLY, **options)
