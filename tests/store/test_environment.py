from __future__ import annotations

import importlib.metadata
import mmap
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import sambench
from sambench.errors import DeviceError, RunInterrupted, SambenchWarning
from sambench.store import environment
from sambench.store.sections.training import Earlier

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
FUSED = {
    "flash": (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    "memory": (
        torch.backends.cuda.mem_efficient_sdp_enabled,
        torch.backends.cuda.enable_mem_efficient_sdp,
    ),
    "cudnn": (torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
}
"""Fused attention of torch: whether each is allowed, and how to say so."""


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put torch's switches back after a test that turns them."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
    torch.backends.cudnn.benchmark = benchmark
    for _, enable in FUSED.values():
        enable(True)


def test_idle_threads_sleep_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    environment.yield_cores()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    environment.yield_cores()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.usefixtures("no_gpu")
def test_the_best_device_without_a_gpu() -> None:
    assert environment.choose_device(None) == (CPU, "no CUDA device here")


def test_a_gpu_whose_driver_is_too_old_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch counts it all the same, by the driver's own list, and fails at its first use."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    device, reason = environment.choose_device(None)
    assert device == CPU
    assert reason.startswith("CUDA 13.0 of this torch does not start; mostly the driver is older")
    with pytest.raises(DeviceError) as caught:
        environment.choose_device("cuda")
    assert str(caught.value) == f"device cuda is not there ({reason}); use --device cpu"
    assert environment.choose_device("cpu") == (CPU, "as asked")


@pytest.mark.usefixtures("two_gpus")
def test_the_best_device_with_gpus() -> None:
    chosen = environment.choose_device(None)
    several = "the first of 2 CUDA devices; --devices takes several"
    assert chosen == (torch.device("cuda:0"), several)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_a_device_that_is_there(name: str) -> None:
    """It has one name: a run that is resumed on it, called otherwise, is not elsewhere."""
    expected = GPU if name == "cuda" else torch.device(name)
    assert environment.choose_device(name) == (expected, "as asked")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:7"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        environment.choose_device(name)
    assert re.fullmatch(
        rf"device {name} is not there( \(.*\))?; use --device cpu", str(caught.value)
    )


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["mps", "xpu:0", "meta"])
def test_a_device_of_another_kind(name: str) -> None:
    """Losses are added up in float64, which an Apple GPU does not have; others were never tried."""
    with pytest.raises(DeviceError) as caught:
        environment.choose_device(name)
    said = f"runs are done on cpu and cuda, not on {name}; use --device cpu"
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_is_said(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**9, 80 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 49 * 10**9)
    for device, said in (("cpu", ""), ("cuda:1", ": of its 80.0 GB CUDA and others hold 30.0 GB")):
        place = environment.naming_faults(torch.device(device))
        with pytest.raises(DeviceError) as caught, place:
            raise error
        assert str(caught.value).startswith(f"the memory of {device} ran out{said}; run fewer")


def test_a_gpu_without_room_for_cuda_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others hold all of it, so that it cannot be asked either."""

    def begin(*device: object) -> None:
        raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later")

    monkeypatch.setattr(torch.cuda, "mem_get_info", begin)
    with pytest.raises(DeviceError) as caught, environment.naming_faults(GPU):
        begin()
    assert str(caught.value).startswith("the memory of cuda:0 ran out; run fewer at once")


@pytest.mark.parametrize(
    "said",
    [
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer",
        "NCCL error: remote process exited or there was a network error",
    ],
)
def test_another_process_that_ended_is_said(said: str) -> None:
    place = environment.naming_faults(CPU)
    with pytest.raises(RunInterrupted, match="another process of this run has ended"), place:
        raise RuntimeError(said)


def test_a_gpu_that_torch_has_no_programs_for_is_said() -> None:
    said = "CUDA error: no kernel image is available for execution on the device\nCompile with"
    place = environment.naming_faults(GPU)
    with (
        pytest.raises(DeviceError, match="this torch has no programs for the GPU of cuda:0"),
        place,
    ):
        raise RuntimeError(said)


def test_other_errors_are_left_as_they_are() -> None:
    place = environment.naming_faults(CPU)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), place:
        torch.zeros(2, 3) @ torch.zeros(2, 3)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("cuda", "visible", "why"),
    [
        (None, None, "this torch is built without CUDA"),
        ("13.0", "", "CUDA_VISIBLE_DEVICES='' hides all GPUs"),
        ("13.0", "-1", "CUDA_VISIBLE_DEVICES='-1' hides all GPUs"),
        ("13.0", "0,1", "no GPU of CUDA_VISIBLE_DEVICES='0,1' answers: `nvidia-smi` tells"),
        ("13.0", " 0, 1", "no GPU of CUDA_VISIBLE_DEVICES=' 0, 1' answers: `nvidia-smi` tells"),
        ("13.0", "GPU-5e", "no GPU of CUDA_VISIBLE_DEVICES='GPU-5e' answers: `nvidia-smi` tells"),
        ("13.0", "MIG-5e", "no GPU of CUDA_VISIBLE_DEVICES='MIG-5e' answers: `nvidia-smi` tells"),
        ("13.0", None, "no GPU answers: `nvidia-smi` tells"),
    ],
)
def test_why_no_gpu_is_there(
    cuda: str | None, visible: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(DeviceError) as caught:
        environment.choose_device("cuda:0")
    assert f"device cuda:0 is not there ({why}" in str(caught.value)


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_beyond_the_last() -> None:
    with pytest.raises(DeviceError) as caught:
        environment.choose_device("cuda:2")
    assert str(caught.value) == ("device cuda:2 is not there; use --device cuda:0 or cuda:1 or cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "0", "cuda:0,cuda:1"])
def test_a_name_that_is_no_device(name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        environment.choose_device(name)
    several = "; --devices takes several" * ("," in name)
    assert str(caught.value) == f"{name!r} is no device name; use cpu, cuda or cuda:0{several}"


@pytest.mark.usefixtures("as_before")
def test_determinism_on_the_cpu() -> None:
    torch.backends.cudnn.benchmark = True
    assert environment.choose_kernels("deterministic", CPU) == "bitwise"
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.usefixtures("as_before")
def test_determinism_on_a_gpu_is_not_promised() -> None:
    said = environment.choose_kernels("deterministic", torch.device("cuda:0"))
    assert said == "where an operation has a deterministic kernel"


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize(
    ("kernels", "device", "allowed"),
    [
        ("deterministic", "cuda:0", False),
        ("fastest", "cuda:0", True),
        ("deterministic", "cpu", True),  # where the fused one repeats its bits
        ("fastest", "cpu", True),
    ],
)
def test_attention_repeats_its_bits_on_a_gpu(kernels: str, device: str, allowed: bool) -> None:
    """The fused kernels have a backward pass that repeats only where torch is to raise an error."""
    environment.choose_kernels("deterministic", torch.device("cuda:1"))  # of a run before
    environment.choose_kernels(kernels, torch.device(device))
    assert {name: asked() for name, (asked, _) in FUSED.items()} == dict.fromkeys(FUSED, allowed)
    assert torch.backends.cuda.math_sdp_enabled()


@pytest.mark.usefixtures("as_before")
def test_workspaces_of_before_are_not_taken_for_larger_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Torch up to 2.11 reads their size anew at each call, of memory that it has allocated once."""
    told: list[str | None] = []
    monkeypatch.setattr(
        torch._C,
        "_cuda_clearCublasWorkspaces",
        lambda: told.append(os.environ.get("CUBLAS_WORKSPACE_CONFIG")),
        raising=False,
    )
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    environment.choose_kernels("fastest", torch.device("cuda:0"))
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    for _ in range(2):
        environment.choose_kernels("deterministic", torch.device("cuda:0"))
    assert told == [":4096:8"]


def test_what_a_record_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(environment.COMMAND, raising=False)
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/sambench", "train", "--opt", "sam"])
    found = environment.describe(CPU, "bitwise")
    assert found["sambench"] == sambench.__version__
    assert found["python"] == platform.python_version()
    assert found["torch"] == importlib.metadata.version("torch")
    assert found["timm"] == importlib.metadata.version("timm")
    assert (found["device"], found["cuda"], found["gpu"]) == ("cpu", None, None)
    assert found["cpu"]
    assert found["threads"] == torch.get_num_threads()
    assert found["command"] == "sambench train --opt sam"
    assert found["deterministic"] == "bitwise"


def test_what_is_installed_meanwhile_is_not_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment.describe(CPU, "bitwise")
    monkeypatch.setattr("importlib.metadata.version", lambda package: "99.0")
    assert environment.describe(CPU, "bitwise") == before


def test_the_path_of_the_program_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/sambench"])
    assert "/somewhere" not in str(environment.describe(CPU, "bitwise"))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak cannot be reset there")
def test_children_import_nothing_from_their_folder_unless_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m` begins with the folder it is started in, where a user's `random.py` may lie."""
    monkeypatch.chdir(tmp_path)
    assert environment.child_environment()["PYTHONSAFEPATH"] == "1"
    for place in ("", str(tmp_path)):  # as `python -c` and `python -m` have it
        with monkeypatch.context() as here:
            here.setattr(sys, "path", [place, *sys.path])
            assert "PYTHONSAFEPATH" not in environment.child_environment()
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "PYTHONSAFEPATH" not in environment.child_environment()


def test_the_memory_peak_holds_what_was_allocated() -> None:
    environment.start_memory_peak(CPU)
    before = environment.memory_peak(CPU)
    with mmap.mmap(-1, 64 << 20) as block:  # new pages: a heap may have old ones to give
        block[:] = b"x" * len(block)
    grown = environment.memory_peak(CPU) - before
    assert 40 << 20 <= grown <= 128 << 20


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A git checkout of one committed file that passes for sambench's."""
    (tmp_path / "sambench").mkdir()
    (tmp_path / "file").write_text("old")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x"]
    for command in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    monkeypatch.setattr(sambench, "__file__", str(tmp_path / "sambench" / "__init__.py"))
    environment.git_state.cache_clear()
    yield tmp_path
    environment.git_state.cache_clear()


def test_git_state_of_a_clean_checkout(checkout: Path) -> None:
    state = environment.git_state()
    assert state is not None
    assert len(state) == 12
    assert int(state, 16) >= 0


def test_git_state_of_a_changed_checkout(checkout: Path) -> None:
    (checkout / "file").write_text("new")
    state = environment.git_state()
    assert state is not None
    assert state.endswith("+changes")


def test_git_state_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sambench, "__file__", str(tmp_path / "sambench" / "__init__.py"))
    environment.git_state.cache_clear()
    assert environment.git_state() is None
    environment.git_state.cache_clear()


def test_git_state_without_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert environment.git_state() is None


@pytest.mark.usefixtures("as_before")
def test_the_fastest_kernels_repeat_nothing_and_memory_is_never_filled() -> None:
    try:
        assert environment.choose_kernels("fastest", CPU) == "no: kernels=fastest"
        assert torch.backends.cudnn.benchmark
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        assert environment.choose_kernels("deterministic", CPU) == "bitwise"
    assert not torch.backends.cudnn.benchmark
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]


def test_a_run_that_goes_on_elsewhere_records_where_it_was() -> None:
    now = environment.describe(CPU, "bitwise")
    assert "resumed_from" not in environment.describe(CPU, "bitwise", now)
    before = {**now, "threads": 977}
    with pytest.warns(SambenchWarning, match=r"\(threads 977, now \d+\)"):
        second = environment.describe(CPU, "bitwise", before)
    place = {key: before[key] for key in Earlier.__struct_fields__}
    assert second["resumed_from"] == [place]
    assert environment.describe(CPU, "bitwise", second)["resumed_from"] == [place]
    code = {**now, "sambench": "0.0.1", "git": "0123456789ab"}
    with pytest.warns(SambenchWarning, match=r"\(sambench 0\.0\.1, now .*; git 0123456789ab, now "):
        upgraded = environment.describe(CPU, "bitwise", code)
    assert [section["git"] for section in upgraded["resumed_from"]] == ["0123456789ab"]
    with pytest.warns(SambenchWarning, match="device cuda:0, now cpu"):
        third = environment.describe(CPU, "bitwise", {**second, "device": "cuda:0"})
    assert [section["device"] for section in third["resumed_from"]] == [now["device"], "cuda:0"]
