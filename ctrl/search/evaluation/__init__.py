"""Running genomes: in this process, on local processes, or on a cluster."""

from ctrl.search.evaluation.cluster import RayCluster
from ctrl.search.evaluation.evaluator import Evaluator
from ctrl.search.evaluation.executor import CountedEvaluate, Executor
from ctrl.search.evaluation.local import LocalProcesses
from ctrl.search.evaluation.setting import Setting

__all__ = ["CountedEvaluate", "Evaluator", "Executor", "LocalProcesses", "RayCluster", "Setting"]
