"""Text environments that are closed at the end of the test, and one cache of games for all."""

import pytest

from envs.text import make_text


@pytest.fixture(scope="session")
def games(tmp_path_factory):
    """Return a folder that keeps games of TextWorld for the whole session."""
    return str(tmp_path_factory.mktemp("games"))


@pytest.fixture
def make(games):
    """Make text environments that are closed at the end of the test."""
    made = []

    def build(name, **options):
        if name.startswith("TextWorld"):
            options.setdefault("folder", games)
        made.append(make_text(name, **options))
        return made[-1]

    yield build
    for env in made:
        env.close()


def play(env, commands=None, **reset):
    """Return the turns of an episode: those of the commands, or those of the expert to its end."""
    turns = [env.reset(**reset)]
    for command in commands if commands is not None else iter(env.expert, None):
        turns.append(env.step(command))
    return turns


@pytest.fixture(name="play")
def _play():
    return play
