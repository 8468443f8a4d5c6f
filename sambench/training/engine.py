"""How a run's steps are executed: plain, compiled or captured; chosen, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from sambench.config.run_config import RunConfig
from sambench.errors import ConfigError, reason_of
from sambench.training.captured import CapturedStep, Graph, Rates, Refused, Work, make_capturable
from sambench.training.clock import synchronised_time
from sambench.training.rewind import Rewindable, undisturbed
from sambench.training.step import Batch, Step

LEAST_STEPS = 50
"""Steps of one shape from which capturing pays by itself: it costs three steps and some tenths of a
second once, and saves a third of a step or more each time."""

USUAL_STEPS = 3  # before one is captured: the state is made, and torch has chosen its kernels

PAYS_AFTER = 600.0
"""Seconds of training from which compiling pays: it takes minutes, and saves a fifth of a step."""

ALWAYS, NEVER = "always", "never"


@dataclass(frozen=True)
class Choice:
    """One decision: whether something is done, and why."""

    done: bool
    reason: str


@dataclass(eq=False)
class Engine:
    """Executes the steps of a run.

    A captured step is the usual one, recorded; the two give the same numbers. The odd last batch of
    an epoch is a recording of its own where it comes often enough.
    """

    step: Step  # takes a step as usual
    rewindable: Rewindable  # all that it changes
    config: RunConfig  # its `capture` and `compile` are "auto", "always" or "never"
    _: KW_ONLY
    graphs: Callable[[], Graph] | None  # makes a graph; None where the device has none
    alone: bool  # one process trains the run
    steps: int  # of the whole run

    def __post_init__(self) -> None:
        self._usual = self._most = 0
        self._recorded: dict[tuple[object, ...], CapturedStep] = {}
        optimizer, device = self.step.optimizer, self.rewindable.device
        self._rates = Rates(optimizer, device)
        refusal = self._refusal()
        self._capturing = refusal is None
        make_capturable(optimizer, self._capturing and device.type == "cuda")
        self.captured = Choice(False, refusal or "no step was captured yet")
        self.compiled = Choice(False, "not compiled yet")

    def __call__(
        self, batch: Batch, remaining: int, paused: Callable[[], AbstractContextManager[None]]
    ) -> Fraction:
        """Take a step; return its passes.

        So many steps of its shape are `remaining`, this one included; `paused` stops the clock of
        training while a step is recorded.
        """
        key = (tuple(batch.inputs.shape), batch.weight, self.step.optimizer.observing)
        if self.step.rounding is None:
            if key in self._recorded:
                return self._recorded[key].replay(batch)
            if self._worth_recording(remaining):
                with paused():
                    return self._record(key, batch, remaining)
        self._usual += 1
        with self._rates.in_place() if self._capturing else nullcontext():
            return self.step(batch)

    def warm_up(
        self, model: nn.Module, network: nn.Module, inputs: Tensor, targets: Tensor, before: bool
    ) -> None:
        """Run passes that leave no trace, so that kernels are chosen and compiled off the clock.

        There are as many images as a step has. The buffers and gradients of the model are put back;
        the network is compiled if that is wished or pays, or a run that is resumed was `before`.
        """
        device = inputs.device

        def passes() -> None:
            self.step.forward(inputs, targets)[0].mean().backward()

        with undisturbed(model, device):
            try:
                passes()
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                raise ConfigError(
                    f"batch normalisation cannot train on batch_size={len(inputs)} here, where an "
                    "image has come down to one pixel; set it to 2 or more"
                ) from error
        self.compiled = self._wish_to_compile(model, passes, before)
        if not self.compiled.done:
            return
        try:
            self.step.compiled = compile_network(network)
            self.step.compiled_for = len(inputs)
            with undisturbed(model, device):
                try:  # what an earlier run of this process compiled
                    with torch.compiler.set_stance("fail_on_recompile"):
                        passes()
                except RuntimeError:  # torch keeps few forms, and runs the next one as it is
                    torch.compiler.reset()
                    passes()
        except Exception as error:
            self.step.compiled = None
            torch.compiler.reset()  # or what the failure has left in torch would stay
            told = reason_of(error, 150)
            self.compiled = Choice(False, f"torch.compile failed: {told}")

    def described(self) -> dict[str, Any]:
        """Return the record's `environment.engine`."""
        return {
            "captured": self.captured.done,
            "captured_reason": self.captured.reason,
            "compiled": self.compiled.done,
            "compiled_reason": self.compiled.reason,
            "channels_last": self.step.layout == torch.channels_last,
            "fused": all(bool(g.get("fused")) for g in self.step.optimizer.param_groups),
        }

    def _wish_to_compile(self, model: nn.Module, passes: Work, before: bool) -> Choice:
        config, device = self.config, self.rewindable.device
        if config.compile != "auto":
            return Choice(config.compile == ALWAYS, "as asked")
        if before:
            return Choice(True, "as before the run was resumed")
        if device.type != "cuda":
            return Choice(False, "no CUDA device")
        if not self.alone:
            return Choice(False, "several replicas train the run")
        if config.kernels == "deterministic":
            return Choice(False, "kernels=deterministic: what is compiled may differ next time")
        with undisturbed(model, device):
            passes()
            start = synchronised_time(device)
            passes()
            each = synchronised_time(device) - start
        seconds = each * self.step.optimizer.info.gradient_evaluations * self.steps
        shown = f"about {seconds:.0f} s of passes to come, it pays from {PAYS_AFTER:.0f} s"
        return Choice(seconds >= PAYS_AFTER, shown)

    def _refusal(self) -> str | None:
        """Say why no step can be captured, as far as it is known beforehand."""
        optimizer = self.step.optimizer
        known = all("capturable" in g or g.get("fused") for g in optimizer.param_groups)
        reasons = {
            "as asked": self.config.capture == NEVER,
            "no CUDA device": self.graphs is None,
            "several replicas train the run": not self.alone,
            f"{optimizer.info.name} decides in each step what to compute": optimizer.info.adaptive,
            f"the base optimizer {type(optimizer.base).__name__} cannot be captured": not known,
            "skip_nonfinite looks at each step's gradient": optimizer.skip_nonfinite,
            "replay_randomness sets the generator in each step": optimizer.replay_randomness,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _worth_recording(self, remaining: int) -> bool:
        if not self._capturing or self._usual < USUAL_STEPS:
            return False
        if self.config.capture != ALWAYS and remaining < LEAST_STEPS:
            self._most = max(self._most, remaining)
            if not self._recorded:
                few = f"{self._most} steps of one shape to come, it pays from {LEAST_STEPS}"
                self.captured = Choice(False, few)
            return False
        return True

    def _record(self, key: tuple[object, ...], batch: Batch, remaining: int) -> Fraction:
        """Take a step and record it, or only take it where recording is refused."""
        assert self.graphs is not None, "it was worth recording"
        new = CapturedStep(self.step, self.rewindable, self._rates, self.graphs(), batch)
        try:
            new.establish(batch)
        except Refused as refused:
            self._capturing = False
            if refused.__cause__ is not None:  # a broken capture has taken the generator from all
                self._recorded.clear()
            if not self._recorded:
                self.captured = Choice(False, str(refused))
        else:
            if not self._recorded:
                self.captured = Choice(True, f"{remaining} steps of one shape to come")
            self._recorded[key] = new
        return new.passes


def layout_of(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Return the memory format to train a network in.

    Convolutional networks (those with more than a patch embedding's one convolution) go channels
    last on a GPU and on the CPU, where that makes a step of small-cnn 1.4 times as fast and one of
    ResNet-18 1.1 times. Not so those with a strided 1x1 convolution of fewer than 16 channels, as
    FastViT has: the weights' gradient of oneDNN writes beyond its memory there, so that it is wrong
    or the process dies (github.com/uxlfoundation/oneDNN/issues/6035). Nor do those with a tensor of
    five dimensions, as LambdaNets have: torch would put it into that format too, and cannot.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    unsafe = device.type == "cpu" and any(
        one.kernel_size == (1, 1) and max(one.stride) > 1 and one.in_channels < 16
        for one in convolutions
    )
    unsafe |= any(tensor.dim() == 5 for tensor in (*model.parameters(), *model.buffers()))
    known = len(convolutions) > 1 and device.type in ("cpu", "cuda") and not unsafe
    return torch.channels_last if known else torch.contiguous_format


def compile_network(network: nn.Module, backend: str = "inductor") -> nn.Module:
    """Return the network in compiled form, sharing its parameters; compiled at its first pass.

    One shape only, so without dynamic sizes; no CUDA graphs of its own: whole steps are captured.
    """
    # compiled dropout draws as torch does, so that compiling changes no mask
    options: dict[str, Any] | None = {"fallback_random": True} if backend == "inductor" else None
    compiled: Any = torch.compile(network, dynamic=False, backend=backend, options=options)
    return compiled  # type: ignore[no-any-return]
