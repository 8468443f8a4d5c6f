"""Steps that are timed for a plan leave nothing behind, and tell what the estimate needs."""

from __future__ import annotations

from pathlib import Path

import torch

from sambench.config.run_config import RunConfig
from sambench.run.pace import measure_pace


def test_a_few_passes_are_timed_on_one_thread(phantom_data: Path) -> None:
    config = RunConfig.from_dict(
        {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "optimizer": "sam"}
    )
    threads = torch.get_num_threads()
    pace = measure_pace(config, phantom_data, torch.device("cpu"))
    assert pace.seconds > 0
    assert pace.spread >= 1
    assert pace.images == 32
    assert pace.memory_bytes is None
    assert torch.get_num_threads() == threads
