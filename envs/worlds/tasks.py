"""The small worlds by name."""

from __future__ import annotations

from envs.tasks import Family
from envs.worlds.continuous_tasks import CONTINUOUS
from envs.worlds.tabular_tasks import TABULAR

FAMILY = Family(
    name="worlds",
    title="small worlds for verification",
    tasks=(*TABULAR, *CONTINUOUS),
)
