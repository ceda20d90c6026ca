"""Settings with which every subject of the benchmark runs in seconds."""

import pytest

from bench.settings import Settings


@pytest.fixture(scope="session")
def tiny():
    return Settings(
        table_rows=(20, 40),
        rounds=2,
        step_rounds=2,
        slow_rounds=1,
        least_seconds=0.0,
        batch=4,
        large_batch=8,
        large_images=(2, 40),
        side=32,
        images=8,
        many=12,
        width=2,
        cost_width=2,
        cost_rounds=1,
        epoch_width=2,
        epoch_rounds=1,
        epoch_images=8,
        tiny_images=8,
        memory_base=(8, 4, 2),
        memory_images=(8, 16, 32),
        memory_batches=(2, 4, 8),
        memory_widths=(2, 4, 8),
        side_steps=1,
        blocks=(2, 4),
    )
