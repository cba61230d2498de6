"""A report of real runs: one page that holds everything, loads nothing and cannot be broken."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

import ctrl
from ctrl.cli import main
from ctrl.report.episodes import EpisodeSettings
from ctrl.report.html import Html, element, table
from ctrl.report.runs import read_alarms
from ctrl.report.write import write_report
from ctrl.run_curves import find_runs, readable_runs
from reward_models.errors import UserError

EVIL = "<img src=x onerror=alert(1)>"
ALGO = {"name": "ppo", "n_steps": 32, "batch_size": 32, "n_epochs": 1}
SECTIONS = ("summary", "curves", "terms", "alarms", "episode", "maps", "configuration")
VOID = {"img", "meta", "source"}


class Reader(HTMLParser):
    """Collects tags with their attributes, and complains about what is not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of a point mass with a term of a vicious name, and one seed without terms."""
    place = tmp_path_factory.mktemp("runs")
    env = {"id": "PointMass-v0", "n_envs": 2, "max_episode_steps": 16}
    shaped = {EVIL: {"use": "rnd", "weight": 0.5}}
    for seed in (0, 1):
        folder = place / "shaped" / f"seed_{seed}"
        ctrl.train(env=env, algo=ALGO, reward=shaped, steps=192, seed=seed, out=folder)
    ctrl.train(env=env, algo=ALGO, steps=192, seed=0, out=place / "plain")
    alarm = {"step": 64, "kind": "dominant", "term": EVIL, "message": f"{EVIL} has 95%"}
    torn = json.dumps(alarm) + '\n{"step": 1'
    (place / "shaped" / "seed_1" / "alarms.jsonl").write_text(torn)
    return place


@pytest.fixture(scope="module")
def report(runs):
    pytest.importorskip("imageio")
    return write_report([runs / "shaped", runs / "plain"], out=runs / "page.html")


def test_that_all_parts_are_on_the_page(report):
    page = read(report.path)
    assert {tag.get("id") for tag in page.of("h2")} == set(SECTIONS)
    assert [link["href"] for link in page.of("a")] == [f"#{name}" for name in SECTIONS]
    pictures = [tag["src"] for tag in page.of("img")]
    # Curves; terms of one method; a ledger each; the map of the bonus.
    assert [source[:14] for source in pictures] == ["data:image/svg"] * 4 + ["data:image/png"]
    assert all(tag["alt"] for tag in page.of("img"))
    films = [tag["src"] for tag in page.of("video")]
    assert [source[:15] for source in films] == ["data:video/mp4;"] * 2
    text = "".join(page.words)
    for part in ("bootstrap interval", "n_steps: 32", "stable_baselines3", "dominant",
                 "cumulative", "divisor", "task has no heat map"):  # fmt: skip
        assert part in text, part


def test_that_one_seed_says_that_it_has_no_interval(report):
    text = re.sub(r"\s+", " ", " ".join(read(report.path).words))
    assert "one seed: no interval" in text
    summary = text[text.index("method") : text.index("Interquartile mean")]
    assert summary.count("[") == 2  # task and shaped return of the method with two seeds
    assert summary.count("one seed: no interval") == 2


def test_that_the_page_loads_and_runs_nothing(report):
    page = read(report.path)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "form", "base")
        for name in ("src", "href", "poster", "srcset", "action"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
        assert not any(name.startswith("on") for name in attributes)
    style = report.path.read_text(encoding="utf-8").split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(tag for tag in page.of("meta") if tag.get("http-equiv"))
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert "default-src 'none'" in policy["content"]


def test_that_text_from_runs_cannot_become_markup(report):
    text = report.path.read_text(encoding="utf-8")
    assert EVIL not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert all(tag.get("src") != "x" for tag in read(report.path).of("img"))


def test_that_the_same_runs_give_the_same_page(runs, report, tmp_path):
    settings = EpisodeSettings(video=False)
    pages = [
        write_report([runs / "shaped"], out=tmp_path / name, settings=settings).path.read_bytes()
        for name in ("one.html", "two.html")
    ]
    assert pages[0] == pages[1]


def test_that_damaged_folders_are_skipped_and_named(runs, tmp_path):
    for name in ("good", "no_log", "torn", "no_config", "bad_yaml"):
        shutil.copytree(runs / "plain", tmp_path / name)
    (tmp_path / "no_log" / "progress.csv").unlink()
    (tmp_path / "torn" / "progress.csv").write_text("time/total_timesteps,return/ta")
    (tmp_path / "no_config" / "config.yaml").unlink()
    (tmp_path / "bad_yaml" / "config.yaml").write_text("{: bad")
    found, warnings = readable_runs([tmp_path], configured=True)
    assert [run.path.name for run in found] == ["good"]
    for name in ("no_log", "torn", "no_config", "bad_yaml"):
        assert sum(str(tmp_path / name) in warning for warning in warnings) == 1, name
    result = write_report([tmp_path], settings=EpisodeSettings(video=False))
    assert result.path == tmp_path / "report.html"
    assert set(warnings) <= set(result.notes)
    assert str(tmp_path / "torn") in "".join(read(result.path).words)


def test_that_without_any_readable_run_it_is_an_error(tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "progress.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"no run that can be read.*half"):
        write_report([tmp_path])
    with pytest.raises(UserError, match=r"Did you mean.*half"):
        write_report([tmp_path / "hal"])


def test_that_alarms_are_read_around_damage(runs):
    (run,) = find_runs(runs / "shaped" / "seed_1")
    rows, warnings = read_alarms(run)
    assert [(row["step"], row["kind"], row["term"]) for row in rows] == [(64, "dominant", EVIL)]
    assert "1 damaged line" in warnings[0]


def test_that_untrusted_code_is_not_run_and_the_page_says_so(runs, tmp_path):
    shutil.copytree(runs / "plain", tmp_path / "own")
    config = (tmp_path / "own" / "config.yaml").read_text()
    evil = config.replace("use: task", f"use: {tmp_path}/evil.py:boom")
    assert evil != config
    (tmp_path / "own" / "config.yaml").write_text(evil)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    result = write_report([tmp_path / "own"], settings=EpisodeSettings(video=False))
    assert "--trust-code" in "".join(read(result.path).words)
    assert not (tmp_path / "ran").exists()


def test_the_command(runs, tmp_path, capsys):
    out = tmp_path / "page.html"
    words = ["report", str(runs / "plain"), "--out", str(out), "--no-video", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert set(document) == {"run_folders", "report", "groups", "notes"}
    assert document["report"] == str(out)
    assert main(["report", str(runs / "plain"), "--out", str(tmp_path / "page.pdf")]) == 2
    assert "page.html" in capsys.readouterr().err


def test_that_only_marked_text_is_markup():
    made = element("p", "a < b & c", Html("<b>d</b>"), title='"x"', hidden=True, open=False)
    assert made == '<p title="&quot;x&quot;" hidden>a &lt; b &amp; c<b>d</b></p>'
    cells = table(["<n>"], [["<td>"]], numbers=("<n>",))
    assert '<td class="number">&lt;td&gt;</td>' in cells
