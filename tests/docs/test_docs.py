"""The documentation does what it says: examples run, commands parse, names and links exist."""

import ast
import csv
import dataclasses
import fnmatch
import json
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import pytest
import yaml

from ctrl import config as configuration
from ctrl.cli import main
from ctrl.cli.commands import train_data
from ctrl.cli.parser import build_parser
from ctrl.cli.search_commands import search_data
from ctrl.sb3.algorithms import ALGORITHMS, option_names
from ctrl.search.config import parse_search
from ctrl.search.methods import plan as make_plan
from ctrl.search.run import complete as complete_search
from ctrl.training import complete
from envs.registry import FAMILIES
from reward_models.registry import REWARDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

# Small versions of the runs in the pages: a rollout of 2 x 64 steps, episodes of 40 steps.
SHORT = ["env.n_envs=2", "env.max_episode_steps=40"]
ON_POLICY = ["algo.n_steps=64", "algo.batch_size=64"]
OFF_POLICY = ["algo.learning_starts=100", "algo.batch_size=16"]
TRAIN_STEPS, RESUME_STEPS = 128, 256


@dataclass(frozen=True)
class Block:
    """One fenced block and the comment right above it (``run``, ``file: NAME`` ...)."""

    language: str
    text: str
    comment: str
    line: int


def blocks(page: Path) -> list[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    found, start, language = [], None, ""
    for number, line in enumerate(lines):
        if line.startswith("```") and start is None:
            start, language = number, line[3:].strip()
        elif line.startswith("```"):
            comment = re.fullmatch(r"<!-- (.+) -->", lines[start - 1].strip())
            text = "\n".join(lines[start + 1 : number]) + "\n"
            found.append(Block(language, text, comment[1] if comment else "", start + 2))
            start = None
    assert start is None, f"{page}: a block is not closed"
    return found


def commands(block: Block) -> list[list[str]]:
    if block.language not in ("sh", "console"):
        return []
    lines = [line.removeprefix("$ ") for line in block.text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("ctrl ")]


def small(words: list[str]) -> list[str]:
    """Return a command with few steps and episodes."""
    words = list(words)

    def set_option(name: str, value: int) -> None:
        if name in words:
            words[words.index(name) + 1] = str(value)

    if words[0] == "train":
        algo = words[words.index("--algo") + 1] if "--algo" in words else "ppo"
        words = [word for word in words if not word.startswith("env.n_envs=")]
        words += [*SHORT, *(ON_POLICY if algo == "ppo" else OFF_POLICY)]
    set_option("--steps", TRAIN_STEPS if words[0] == "train" else RESUME_STEPS)
    set_option("--episodes", 2)
    return words + (["--quiet"] if words[0] in ("train", "resume") else [])


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to follow a page in; what the page registers is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules), dict(gymnasium.registry), dict(ALGORITHMS)
    yield tmp_path
    own = {"page"}
    for name in set(sys.modules) - before[0]:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            own.add(name)
            del sys.modules[name]
    # What a package registered when the page first imported it stays: it does so only once.
    for name in set(gymnasium.registry) - set(before[1]):
        entry = gymnasium.registry[name].entry_point
        place_of = entry.split(":")[0] if isinstance(entry, str) else entry.__module__
        if place_of in own:
            del gymnasium.registry[name]
    for name in set(ALGORITHMS) - set(before[2]):
        del ALGORITHMS[name]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_that_a_page_can_be_followed_from_top_to_bottom(page, place):
    namespace: dict = {"__name__": "page"}
    for block in blocks(page):
        if block.comment.startswith("file: "):
            name = block.comment.removeprefix("file: ")
            text = page.read_text(encoding="utf-8")
            assert text.count(Path(name).stem) > 1, f"{name} is written and never used"
            (place / name).write_text(block.text, encoding="utf-8")
        elif block.language == "python" and not block.comment.startswith("not executed: "):
            source = "\n" * (block.line - 1) + block.text
            exec(compile(source, str(page), "exec"), namespace)
        elif block.comment.startswith("run"):
            for words in commands(block):
                taken = words if block.comment == "run as it is" else small(words)
                assert main(taken) == 0, f"{page.name}: ctrl {' '.join(taken)}"


def test_that_file_command_and_call_are_the_same_run(place):
    page = ROOT / "docs" / "configuration.md"
    first, command, call = (
        next(b for b in blocks(page) if b.comment == "file: first.yaml"),
        next(b for b in blocks(page) if b.comment.startswith("run")),
        next(b for b in blocks(page) if b.language == "python"),
    )
    (place / "first.yaml").write_text(first.text, encoding="utf-8")
    configs = [_parsed(words) for words in commands(command)]
    given = ast.parse(call.text).body[1].value.keywords
    data = {keyword.arg: ast.literal_eval(keyword.value) for keyword in given}
    del data["out"]
    configs.append(configuration.parse_config(data))
    configs = [complete(config) for config in configs]
    assert configs[0] == configs[1] == configs[2]
    assert configuration.parse_config(yaml.safe_load(configs[0].to_yaml())) == configs[0]


def _parsed(words: list[str]) -> configuration.TrainConfig:
    return configuration.parse_config(train_data(build_parser().parse_args(words)))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_that_documented_commands_parse(page, place):
    for block in blocks(page):
        if block.comment.startswith("file: "):
            (place / block.comment.removeprefix("file: ")).write_text(block.text)
        for words in commands(block):
            options = build_parser().parse_args(words)
            # What starts from an elite has its environment from there.
            if words[0] == "train" and options.start_from is None:
                config = configuration.parse_config(train_data(options))
                algorithm = ALGORITHMS[config.algo.name]
                assert set(config.algo.options) <= set(option_names(algorithm.load()))
            elif words[0] == "search":
                make_plan(complete_search(parse_search(search_data(options))))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_that_commands_and_options_in_sentences_exist(page):
    actions = build_parser()._actions
    parsers = next(action.choices for action in actions if isinstance(action.choices, dict))
    for command in re.findall(r"`(ctrl [^`]+)`", page.read_text(encoding="utf-8")):
        _, name, *words = command.split()
        assert name in parsers, command
        for word in words:
            if word.startswith("-"):
                assert word.split("=")[0] in parsers[name]._option_string_actions, command


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_that_links_and_paths_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target
    for path in re.findall(r"`((?:tests|experiments|ctrl|envs|reward_models|docs)/[^`:*]*)", text):
        if path:
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_that_named_tests_exist(page):
    for name in re.findall(r"`(tests/[^`]+::[^`]+)`", page.read_text(encoding="utf-8")):
        path, *parts = name.split("::")
        body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        for part in parts:
            found = [n for n in body if getattr(n, "name", None) == part]
            assert found, name
            body = getattr(found[0], "body", [])


def test_that_every_known_defect_has_a_row():
    rows = re.findall(r"^\| (3\.\d+) \|.*`tests/", _text("correctness.md"), re.MULTILINE)
    assert rows == [f"3.{n}" for n in (*range(1, 13), 16, 17, 18, 22)]


def test_that_everything_with_a_name_is_described():
    rewards, learners = _text("rewards.md"), _text("learners.md")
    assert all(f"`{name}`" in rewards for name in REWARDS)
    assert all(f"`{name}`" in learners for name in ALGORITHMS)
    papers = _text("papers.md")
    assert all(f"`{name}`" in papers for name in REWARDS)


def test_that_every_environment_of_ours_is_on_the_page_of_its_family():
    pages = {
        "mujoco": ["mujoco.md"],
        "nethack": ["nethack.md"],
        "rocket_league": ["rocket-league.md", "rlgym.md"],
        "atari": ["atari.md"],
        "worlds": ["worlds.md", "worlds-continuous.md"],
    }
    for family in FAMILIES:
        own = [task.name for task in family.tasks if task.entry_point is not None]
        if not own:
            continue
        text = "".join(_text(page) for page in pages[family.name])
        # Ids that differ by a size or a variant may share a row, as `MiniHack-Room-*`.
        patterns = [word for word in re.findall(r"`([\w*-]+)`", text) if word[:1] != "*"]
        missing = [n for n in own if not any(fnmatch.fnmatchcase(n, p) for p in patterns)]
        assert not missing, f"{pages[family.name]}: {missing}"


def test_that_starting_settings_are_the_documented_ones():
    rows = dict(re.findall(r"^\| (`ppo`.*?|`a2c`|`trpo`.*?|`sac`.*?) \| (.*) \|$",
                           _text("learners.md"), re.MULTILINE))  # fmt: skip
    for names, settings in rows.items():
        for name in re.findall(r"`(\w+)`", names):
            algorithm = ALGORITHMS[name]
            assert settings.startswith(f"{algorithm.n_envs} |"), name
            found = dict(re.findall(r"`(\w+)` (\d+)", settings))
            assert found == {key: str(value) for key, value in algorithm.options.items()}


@pytest.mark.parametrize(
    "kind",
    [
        configuration.TrainConfig,
        configuration.EnvConfig,
        configuration.AlgoConfig,
        configuration.TermConfig,
        configuration.EvaluationConfig,
        configuration.CheckpointConfig,
    ],
)
def test_that_every_field_is_documented_with_its_default(kind):
    tables = re.findall(r"(?:^\|.*\n)+", _text("configuration.md"), re.MULTILINE)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    described = [
        dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE)) for table in tables
    ]
    table = next(rows for rows in described if rows.keys() == fields.keys())
    for name, field in fields.items():
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is dict:
            default = {}
        if isinstance(default, str):
            assert table[name] == f"`{default}`"
        elif default is not dataclasses.MISSING:
            assert table[name] == f"`{json.dumps(default)}`"


def test_that_every_file_has_its_line():
    text = _text("architecture.md")
    described = set()
    for folder, table in re.findall(r"^### `(.+?)`\n((?:(?!^#).*\n)*)", text, re.MULTILINE):
        described |= {
            folder + name for name in re.findall(r"^\| `(\S+?\.py)`", table, re.MULTILINE)
        }
    packages = ("reward_models", "envs", "ctrl")
    files = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*.py")
    }
    assert described == files


def test_that_run_folder_logs_and_json_are_as_documented(place, capsys):
    text = _text("run-folder.md")
    rows = dict(re.findall(r"^\| (`ctrl .*?) \| (.*) \|$", text, re.MULTILINE))
    documented = {
        command: set(re.findall(r"`(\w+)`", keys))
        for row, keys in rows.items()
        for command in re.findall(r"`ctrl ([^`]+)`", row)
    }
    train = small(shlex.split("train --env Pendulum-v1 --reward rnd=0.1 --steps 1 --out run"))
    evaluated = ["evaluation.every=128", "evaluation.episodes=2"]

    def keys(*words: str) -> set[str]:
        assert main([*words, "--json"]) == 0
        return set(json.loads(capsys.readouterr().out.splitlines()[-1]))

    assert keys(*train[:-1], *evaluated, "--quiet") == documented["train"]
    assert keys("resume", "run", "--steps", "384", "--quiet") == documented["resume"]
    assert keys("eval", "run", "--episodes", "2") == documented["eval"] - {"video"}
    assert keys("plot", "run") == documented["plot"]
    written = ("--csv", "e.csv", "--png", "e.png")
    assert keys("ledger", "run", *written) == documented["ledger"]
    assert keys("report", "run", "--no-video") == documented["report"]
    assert keys("heatmap", "run", "--grid", "3") == documented["heatmap"]
    assert keys("list", "envs") <= documented["list"]
    assert keys("check-reward", "rnd", "--env", "Pendulum-v1") == documented["check-reward"]

    patterns = []
    for cell in re.findall(
        r"^\| (`(?:alarm|return|reward|rollout|evaluation|time)/.*?) \|", text, re.MULTILINE
    ):
        for key in re.findall(r"`([^`]+)`", cell):
            known = re.escape(key).replace("NAME", r"\w+").replace("METRIC", r"\w+")
            patterns.append(known.replace(r"\*", r"\w+"))
    with (place / "run" / "progress.csv").open() as file:
        columns = csv.DictReader(file).fieldnames
    assert columns
    for column in columns:
        assert any(re.fullmatch(pattern, column) for pattern in patterns), column

    names = re.findall(
        r"`([^`]+)`",
        " ".join(re.findall(r"^\| (.*?) \| .* \|$", text.split("##")[0], re.MULTILINE)),
    )
    for path in (place / "run").rglob("*"):
        inside = str(path.relative_to(place / "run"))
        known = any(re.match(re.escape(name).replace(r"\*", ".*"), inside) for name in names)
        assert path.is_dir() or known, inside


def _text(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")
