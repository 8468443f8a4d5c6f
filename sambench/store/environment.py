"""Where a run happens: versions, git state, hardware, device, determinism, threads and memory."""

from __future__ import annotations

import functools
import gc
import os
import platform
import re
import resource
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sambench
from sambench.errors import DeviceError, RunInterrupted, SambenchWarning
from sambench.plugin import VARIABLE
from sambench.store.sections.training import Earlier

if TYPE_CHECKING:
    import torch

COMMAND = "SAMBENCH_COMMAND"
"""Environment variable with the command that the user gave, for runs and workers to record."""

RUNS_ON_DEVICE = "SAMBENCH_RUNS_ON_DEVICE"
"""Environment variable with the number of runs that a launch has on this process's device."""

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameters of glibc's `mallopt` (malloc.h)."""

_NEVER, _GROWTH = 2**31 - 1, 64 * 2**20

_NO_MEMORY = re.compile("out of memory|DefaultCPUAllocator: |ALLOC_FAILED")
_ENDED = re.compile("gloo/transport|remote process exited|communicator was aborted")


def yield_cores() -> None:
    """Let idle OpenMP threads sleep instead of spin; takes effect only before torch is imported.

    Spinning threads wait for each other's cores where other programs use them too: training
    small networks was 18 times slower so on two busy cores.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def keep_freed_memory() -> bool:
    """Have this process keep the memory it frees; return whether that could be arranged.

    glibc hands large blocks back to the system as soon as they are freed, so every pass of a
    training step on the CPU maps and clears the same thousands of pages again: a tenth of the time
    of a step of ResNet-18. Numbers do not change; the process stays as large as it was at its
    largest. Elsewhere than on Linux with glibc nothing is done.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _GROWTH))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def choose_device(name: str | None) -> tuple[torch.device, str]:
    """Return the device of that name, or for None the best there is, and why.

    A name is "cpu", "cuda" or "cuda:1"; a DeviceError says what is there instead.
    """
    import torch

    # without CUDA `device_count` is what the driver has, be it too old for this torch
    count = torch.cuda.device_count() if name != "cpu" and torch.cuda.is_available() else 0
    if name is None:
        if count:
            several = f"of {count} CUDA devices; --devices takes several"
            return torch.device("cuda:0"), f"the first {several if count > 1 else 'CUDA device'}"
        unused = torch.cuda.device_count()
        return torch.device("cpu"), _why_no_cuda() if unused else "no CUDA device here"
    try:
        device = torch.device(name)
    except RuntimeError:
        more = "; --devices takes several" if "," in name else ""
        raise DeviceError(f"{name!r} is no device name; use cpu, cuda or cuda:0{more}") from None
    there = " or ".join([*(f"cuda:{index}" for index in range(count)), "cpu"])
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"runs are done on cpu and cuda, not on {name}; use --device {there}")
    if device.type == "cuda" and (device.index or 0) >= count:
        why = "" if count else f" ({_why_no_cuda()})"
        raise DeviceError(f"device {name} is not there{why}; use --device {there}")
    return torch.device("cuda:0") if name == "cuda" else device, "as asked"  # one name of each


def _why_no_cuda() -> str:
    """Say why torch has no CUDA device to use."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if torch.cuda.device_count():
        said = f"CUDA {torch.version.cuda} of this torch does not start; mostly the driver is older"
        return f"{said}: `nvidia-smi` tells up to which CUDA it goes, pytorch.org has torch for it"
    if not (torch.version.cuda or torch.version.hip):
        return "this torch is built without CUDA; pytorch.org has the command that installs one"
    if visible is not None and not re.match(r"\s*[0-9GM]", visible):
        return f"CUDA_VISIBLE_DEVICES={visible!r} hides all GPUs; unset it"
    which = f" of CUDA_VISIBLE_DEVICES={visible!r}" if visible else ""
    return f"no GPU{which} answers: `nvidia-smi` tells which there are and if a driver is loaded"


def choose_kernels(kernels: str, device: torch.device) -> str:
    """Have torch use the kernels that a run asks for; return how far its bits will repeat.

    With deterministic ones torch would also fill all memory it hands out, against programs that
    read what nobody wrote: hundreds of extra operations in each step. On a GPU attention is plain
    matrix products: the gradients of fused ones repeat only where torch may raise an error.
    """
    import torch

    repeat, cuda = kernels == "deterministic", torch.backends.cuda
    torch.backends.cudnn.benchmark = not repeat
    torch.use_deterministic_algorithms(repeat, warn_only=True)
    for fused in (cuda.enable_flash_sdp, cuda.enable_mem_efficient_sdp, cuda.enable_cudnn_sdp):
        fused(not repeat or device.type == "cpu")
    if not repeat:
        return "no: kernels=fastest"
    if "CUBLAS_WORKSPACE_CONFIG" not in os.environ:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        if torch.cuda.is_initialized():  # torch may take what cuBLAS has for that large by now
            torch._C._cuda_clearCublasWorkspaces()
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return "bitwise" if device.type == "cpu" else "where an operation has a deterministic kernel"


def describe(
    device: torch.device,
    deterministic: str,
    before: Mapping[str, Any] | None = None,
    plugins: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the environment section of a record.

    How far bits repeat is as `choose_kernels` returned it; `before` is this section of the record
    of a run that is resumed; `plugins` are files of one's own that the run needs, name to sha256.
    """
    import torch

    on_gpu = device.type == "cuda"
    found: dict[str, Any] = {
        "sambench": sambench.__version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "torchvision", "timm", "numpy")},
        "cuda": torch.version.cuda if on_gpu else None,
        "gpu": torch.cuda.get_device_name(device) if on_gpu else None,
        "device": str(device),
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "runs_on_device": count_runs_on_device(),
        "platform": platform.platform(),
        "git": git_state(),
        "command": os.environ.get(COMMAND) or " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "deterministic": deterministic,
    }
    if plugins:
        found["plugins"] = dict(plugins)
    if before and (earlier := _list_other_places(before, found)):
        found["resumed_from"] = earlier
    return found


def _list_other_places(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a run's earlier sessions that differ from the next's; warn where the last one does."""
    last, here = (
        {key: section[key] for key in Earlier.__struct_fields__ if key in section}
        for section in (before, now)
    )
    earlier = [*before.get("resumed_from", ())]
    if told := [f"{key} {last[key]}, now {here[key]}" for key in last if last[key] != here[key]]:
        warnings.warn(
            f"a run is resumed in other surroundings than it was begun in ({'; '.join(told)}), so "
            "it may end with the bits of neither; its record holds both",
            SambenchWarning,
            stacklevel=2,
        )
        earlier.append(last)
    return earlier


def count_runs_on_device() -> int:
    """Return how many runs of this launch are on this process's device, itself among them."""
    return int(os.environ.get(RUNS_ON_DEVICE, "1"))


@contextmanager
def naming_faults(device: torch.device) -> Iterator[None]:
    """Say in one line what a run lacks: memory, programs for its GPU, or another process of it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if _ENDED.search(str(error)):
            raise RunInterrupted(
                "another process of this run has ended: it said why, or was killed, as by the "
                "system where memory runs out; the same command goes on"
            ) from error
        if "no kernel image is available" in str(error):
            raise DeviceError(
                f"this torch has no programs for the GPU of {device}, which is older or newer than "
                "it knows: pytorch.org has builds for others; or use --device cpu"
            ) from error
        if not (isinstance(error, MemoryError) or _NO_MEMORY.search(str(error))):
            raise
        said = ""
        if device.type == "cuda":
            import torch

            with suppress(RuntimeError):  # one without room for CUDA itself cannot be asked
                free, whole = torch.cuda.mem_get_info(device)
                others = whole - free - torch.cuda.memory_reserved(device)
                said = f": of its {whole / 1e9:.1f} GB CUDA and others hold {others / 1e9:.1f} GB"
        raise DeviceError(
            f"the memory of {device} ran out{said}; run fewer at once (--runs-per-device, "
            "--workers), choose another --device, or a smaller --batch-size (another run)"
        ) from error


def start_memory_peak(device: torch.device) -> None:
    """Start measuring the peak of memory from here on."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    else:
        import ctypes

        gc.collect()
        with suppress(OSError, AttributeError):  # what earlier runs have freed was kept
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def memory_peak(device: torch.device) -> int:
    """Return the peak in bytes: allocated on a GPU, resident for the whole process on the CPU."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):
        if match := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("latin-1")):
            return int(match[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@functools.cache
def git_state() -> str | None:
    """Return the commit of the sambench checkout, with "+changes" where files differ from it."""
    root = Path(sambench.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+changes", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


@functools.cache
def _cpu_name() -> str:
    with suppress(OSError):
        if match := re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()):
            return match[1].strip()
    return platform.processor() or platform.machine()


@functools.cache  # another may be installed while this process has the first one loaded
def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    with suppress(PackageNotFoundError):
        return version(package)
    return None


def child_environment() -> dict[str, str]:
    """Return the variables that processes started from here need: plugins and the command typed.

    If this one imports nothing from its folder, where a user may keep a `random.py`, nor may they.
    """
    found = {key: os.environ[key] for key in (VARIABLE, COMMAND) if os.environ.get(key)}
    with suppress(FileNotFoundError):  # the folder is gone
        if {"", os.getcwd()}.isdisjoint(sys.path):  # noqa: PTH109
            found["PYTHONSAFEPATH"] = "1"
    return found
