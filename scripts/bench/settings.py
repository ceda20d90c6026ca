"""How large and how long: one value that every subject reads, so that tests run all of them in seconds."""

from dataclasses import dataclass, field, replace

import torch

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class Settings:
    """Sizes are of the table in docs/performance.md; images are colour, `side` pixels square."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rounds: int = 31  # of what takes micro- or milliseconds
    step_rounds: int = 21  # of training steps
    slow_rounds: int = 3  # of what takes seconds
    least_seconds: float = 0.01  # of one turn
    batch: int = 128
    large_batch: int = 1024
    large_images: tuple[int, int] = (64, 224)  # how many, and pixels a side
    side: int = 32
    classes: int = 10
    images: int = 4096
    many: int = 50_000
    width: int = 16  # of the networks whose steps are compared
    cost_width: int = 16  # of the network in the table of every method's cost
    cost_rounds: int = 11
    epoch_width: int = 64
    epoch_rounds: int = 3
    epoch_images: int = 256  # an epoch of the network of full width
    tiny_images: int = 1024  # an epoch of the tiny network
    card_precisions: tuple[str, ...] = ("bf16",)  # in which the largest networks' memory is counted
    network_images: int = 12_800  # an epoch of the published networks on a GPU
    memory_base: tuple[int, int, int] = (4_096, 1024, 8)  # images, batch and width where they do not grow
    memory_images: tuple[int, int, int] = (50_000, 100_000, 200_000)
    memory_batches: tuple[int, int, int] = (1024, 2048, 4096)
    memory_widths: tuple[int, int, int] = (8, 16, 32)
    side_steps: int = 5  # of a trainer beside another
    table_rows: tuple[int, ...] = (10_000, 100_000)  # of finished runs in one table
    blocks: tuple[int, ...] = (2, 4, 8, 16)  # Puzzle Mix's cells a side


QUICK = Settings()
FULL = replace(
    QUICK,
    rounds=61,
    step_rounds=41,
    slow_rounds=9,
    epoch_rounds=7,
    cost_width=64,
    cost_rounds=7,
    epoch_images=512,
    tiny_images=4096,
    card_precisions=("bf16", "fp32"),
)
