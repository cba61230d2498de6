"""BARFI: learn a reward whose optimal policy does well on the task (Gupta et al. 2023).

In the order of the published steps: `discount`, `surrogate` (what the inner and the outer level
climb), `hypergradient` (through the inner optimum), `regulariser`, `schedule`, `learner`; `run` is
the whole thing with a run folder. The reward itself is `reward_models.blend`.
"""

from ctrl.search.barfi.hypergradient import hypergradient
from ctrl.search.barfi.learner import AlignmentLearner
from ctrl.search.barfi.run import AlignResult, align, resume_align

__all__ = ["AlignResult", "AlignmentLearner", "align", "hypergradient", "resume_align"]
