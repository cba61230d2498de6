from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ctrl.config import EnvConfig
from ctrl.search.evaluation import Evaluator, RayCluster, Setting
from reward_models.errors import UserError

SETTING = Setting(env=EnvConfig("Pendulum-v1"), genome={"kind": "controller"})

SCRIPT = """
import os, signal, sys, threading, time
import numpy as np
from ray.cluster_utils import Cluster
from ctrl.config import EnvConfig
from ctrl.search.evaluation import CountedEvaluate, RayCluster, Setting

local = {"num_cpus": 1, "object_store_memory": 10**8, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=local)
cluster.add_node(**local)
cluster.wait_for_nodes()
setting = Setting(env=EnvConfig("Pendulum-v1"), genome={"kind": "controller"})

def kill_one():
    # Ray names its processes after what they do.
    while not stop.is_set():
        for entry in os.listdir("/proc"):
            try:
                name = open(f"/proc/{entry}/cmdline").read()
            except (OSError, ValueError):
                continue
            if "ray::_evaluate_elsewhere" in name and parent_is_ours(entry):
                os.kill(int(entry), signal.SIGKILL)
                killed.append(int(entry))
                return
        time.sleep(0.01)

def parent_is_ours(entry):
    mine = {node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()}
    return int(open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()[1]) in mine

stop, killed = threading.Event(), []
with RayCluster(setting, address=cluster.address) as search:
    genomes = np.random.default_rng(0).normal(size=(24, search.genome.size))
    evaluate = CountedEvaluate(search, used=5)
    found = evaluate(genomes)
    killer = threading.Thread(target=kill_one)
    killer.start()
    again = search.evaluate(genomes, 5)
    stop.set()
    killer.join()
cluster.shutdown()
assert killed, "no process was killed"
assert evaluate.used == 29
np.savez(sys.argv[1], found=found.samples, again=again.samples, reward=found.reward)
"""


def test_two_nodes_give_what_one_process_gives_also_when_one_is_killed(tmp_path):
    pytest.importorskip("ray")
    # In a process of its own: Ray leaves threads and sockets behind in the driver.
    path, out = tmp_path / "cluster.py", tmp_path / "found.npz"
    path.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(path), str(out)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Evaluator(SETTING) as evaluator:
        genomes = np.random.default_rng(0).normal(size=(24, evaluator.genome.size))
        expected = evaluator.evaluate(genomes, 5)
    found = np.load(out)
    assert np.array_equal(found["found"], expected.samples)
    assert np.array_equal(found["again"], expected.samples)
    assert np.array_equal(found["reward"], expected.reward)


def test_no_cluster_at_the_address_is_a_sentence():
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        RayCluster(SETTING, address="127.0.0.1:1")
