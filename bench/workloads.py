"""All benchmark tasks by name."""

from __future__ import annotations

from bench.functions import FUNCTIONS
from bench.models import MODELS
from bench.task import Workload

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in (*FUNCTIONS, *MODELS)}
