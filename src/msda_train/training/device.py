"""Which device and which precision a run uses, by a rule that is printed and kept in the row.

`precision=auto` is bf16 autocast where the hardware has bf16 matrix units (CUDA compute capability 8.0 and
later, CPUs with AMX tiles), else fp32: elsewhere bf16 is emulated and slower. Memory is channels_last
everywhere.
"""

import ctypes
import os
import sys
from dataclasses import dataclass
from typing import Any

import torch

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.recording import SWITCH

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # options of glibc's mallopt, malloc.h
MOST_WORKERS = 16  # where nobody typed a number: more than a GPU needs
MOST_THREADS = 256  # even on a smaller machine, to repeat another's sums; far more of them crash


@dataclass(frozen=True)
class Compute:
    """device: where; precision: "bf16" or "fp32"; compile: whether torch.compile wraps the model; graph:
    whether steps are replayed from a CUDA graph; deterministic: whether torch may only use operations whose
    result never varies; devices: how many such, a process each, train together; workers: processes that read
    images from files, None: as many as there are cores."""

    device: torch.device
    precision: str
    compile: bool
    graph: bool = False
    deterministic: bool = False
    devices: int = 1
    workers: int | None = None

    @property
    def readers(self) -> int:
        """Processes that read a streamed set for this one: what was typed, or its share of the cores."""
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        return max(1, min(MOST_WORKERS, cores // self.devices)) if self.workers is None else self.workers

    def autocast(self) -> torch.autocast:
        """bf16 around the model only; losses, masks and metrics stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    @property
    def name(self) -> str:
        """The chip's name, for the row."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return _cpu_name()

    @property
    def told(self) -> str:
        """Where and how, in one line."""
        how = [self.precision, "channels_last"]
        how += [option for option in ("compile", "graph", "deterministic") if getattr(self, option)]
        how += [f"{torch.get_num_threads()} thread(s)"] if self.device.type == "cpu" else []
        how += [f"{self.devices} devices"] if self.devices > 1 else []
        return f"on {self.device} ({self.name}): {', '.join(how)}"


def compute_from(cfg: Any) -> Compute:
    """The device and precision that the options of msda-train say; see `choose`."""
    options = {"graph": cfg.graph, "deterministic": cfg.deterministic, "workers": cfg.workers}
    return choose(cfg.device, cfg.precision, cfg.compile, cfg.threads, **options)


def choose(
    device: Any,
    precision: Any,
    compile_model: Any,
    threads: Any,
    *,
    graph: Any = False,
    deterministic: Any = False,
    workers: Any = None,
) -> Compute:
    """Checks the options and applies them; raises UserError for what this machine lacks."""
    checks.one_of("precision", precision, ("auto", "fp32", "bf16"))
    for option, value in (("compile", compile_model), ("graph", graph), ("deterministic", deterministic)):
        checks.flag(option, value)
    if threads is not None:
        checks.whole("threads", threads, least=1)
        most = max(MOST_THREADS, os.cpu_count() or 1)
        if threads > most:
            raise UserError(f"threads={threads}: at most {most} here; type threads={os.cpu_count() or 1}")
        torch.set_num_threads(threads)
    if workers is not None:
        checks.whole("workers", workers, least=0)
        if workers > MOST_THREADS:
            raise UserError(f"workers={workers}: at most {MOST_THREADS}; type workers={os.cpu_count() or 1}")
    chosen = known_device(str(device))
    if graph and chosen.type != "cuda":
        raise UserError("graph=true: CUDA graphs need a CUDA device; type graph=false or device=cuda")
    if precision == "auto":
        precision = "bf16" if _has_bf16_units(chosen) else "fp32"
    SWITCH.on = graph
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else torch refuses cuBLAS
    if deterministic != torch.are_deterministic_algorithms_enabled():  # setting it imports the compiler
        torch.use_deterministic_algorithms(deterministic)
    # A debugging aid that costs a pass over memory; setattr, because mypy does not find its declaration.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
    if chosen.type == "cpu":
        _keep_freed_memory()
    else:
        torch.backends.cudnn.benchmark = not deterministic  # which kernel is fastest varies
        # The papers' float32 is float32: no TF32 behind the user's back.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return Compute(chosen, precision, compile_model, graph, deterministic, workers=workers)


def known_device(word: str) -> torch.device:
    """The device that the word names; UserError where there is none."""
    if word == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = word.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()) or (kind == "cpu" and index):
        raise UserError(f"device={word}: unknown; choose from: auto, cpu, cuda, cuda:N")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device={word}: torch sees no CUDA device here; type device=cpu or device=auto")
    if index and int(index) >= torch.cuda.device_count():
        raise UserError(f"device={word}: there are {torch.cuda.device_count()} CUDA devices, counted from 0")
    return torch.device(word)


def _keep_freed_memory() -> None:
    """Tells glibc to keep what is freed for the next step, instead of giving it back to the system and taking
    it again page by page: page faults were 6 to 10 % of a training step. The peak hardly changes. Other
    systems' allocators are left alone."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, 32 << 20)  # the most it takes
        mallopt(TRIM_THRESHOLD, 2**31 - 1)


def _has_bf16_units(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)  # a private name: absent means no
    return bool(probe and probe())


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return "cpu"
