"""Shape and type checks on every call of the packages under test; one torch thread."""

from __future__ import annotations

import torch
from jaxtyping import install_import_hook

# By default the type checker looks at random items of containers and draws them from python's
# global generator, which tests watch. An int may stand for a float.
_CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_random=False, is_pep484_tower=True))"

# Kept for the whole session: modules are checked when they are imported after this line.
_HOOK = install_import_hook(["reward_models", "envs", "ctrl"], _CHECKER)

torch.set_num_threads(1)
