"""The torch optimizer behind every method: a gradient oracle in front, a base optimizer behind."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import GEN_SUSPENDED, getgeneratorstate
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import ParamsT

from sambench.errors import ConfigError
from sambench.optim import accepted
from sambench.optim.hyperparameter import Mechanics
from sambench.optim.modules import Modules
from sambench.optim.oracle import Closure, GradientOracle, NextPass, Observation, Observer
from sambench.optim.proposal import Proposal, average_, foreign_gradients, note_gradients
from sambench.optim.state import AroundBase, Remembered
from sambench.optim.vector import Vector

Closures = Closure | Sequence[Closure]


class SharpnessAware(AroundBase):
    """A sharpness-aware optimizer: `w <- base(w, direction(gradient oracle))`.

    A perturbed pass points the parameters at other memory and back, so whoever holds the weights'
    own memory (captured CUDA graphs) would see the unperturbed weights. Groups, state and
    `state_dict` are the base optimizer's own, with the method's hyperparameters beside its:
    learning-rate schedulers, checkpoints and per-group settings work as in torch.

    Args:
        params: Parameters, named parameters or groups, as in torch.optim.
        base: A torch optimizer class, or its name; by default Adam, or the method if it is a base.
        model: The module, or modules, that run in a step, also those with other parameters. Give
            it where the model is compiled, scripted, run in several threads, or called by other
            methods than `forward`; without it the modules are those that run in the first pass of
            each step. Buffers of theirs are written in that pass alone, parameters that `forward`
            writes itself (a teacher's running mean) in every pass: write those after the step.
        max_norm: Clip the direction, with what a method applies beside the base optimizer, to this
            L2 norm, once; 0 or None for no clipping.
        replay_randomness: Use the same dropout masks in every pass of a step.
        skip_nonfinite: Leave weights and moments as they are when the step is not finite; waits for
            the device once a step.
        per_replica: The model under DistributedDataParallel, if each replica is to perturb by
            its own mini-batch (m-sharpness, the authors' SAM); without it all perturb alike.
        loss_decay: Weight decay as part of the loss, lambda |w|^2 / 2, as in the authors' SAM: it
            shapes the perturbation, unlike the base optimizer's own `weight_decay`.
        settings: Hyperparameters: the method's (rho, ...) and the base optimizer's (lr, ...).

    Raises:
        ConfigError: If base, parameters or a hyperparameter are not accepted.
    """

    def __init__(
        self,
        params: ParamsT,
        base: type[torch.optim.Optimizer] | str | None = None,
        *,
        model: nn.Module | Iterable[nn.Module] = (),
        max_norm: float | None = None,
        replay_randomness: bool = False,
        skip_nonfinite: bool = False,
        per_replica: DistributedDataParallel | None = None,
        loss_decay: float = 0.0,
        **settings: Any,
    ) -> None:
        base_class, known = accepted.choose_base(self.info, base)
        own = self.info.own(settings, known.name)
        for_base = {name: value for name, value in settings.items() if name not in own}
        accepted.check_settings(self.info, base_class, known, for_base)
        self.max_norm = float(Mechanics.max_norm.check(max_norm or 0.0, self.info.name))
        self.loss_decay = float(Mechanics.loss_decay.check(loss_decay, self.info.name))
        super().__init__(accepted.check_groups(params, self.info), own)
        accepted.check_parameters(self.trainable, [for_base, *self.param_groups])
        try:
            self.base = base_class(self.param_groups, **for_base)
        except ValueError as error:
            raise ConfigError(f"base {known.name}: {error}") from error
        self.defaults = {**self.base.defaults, **own}
        self.replay_randomness = replay_randomness
        self.skip_nonfinite = skip_nonfinite
        self.per_replica = per_replica
        self.observing = False  # set it before a step to have its `observation` afterwards
        self.observed: Tensor | None = None  # the numbers of `observation`, on the device
        self.skipped = 0  # steps that `skip_nonfinite`, or a scaler, has left out so far
        self.total_steps: float | None = None  # of the whole run, where its loop has told them
        self.method = self.info.made(self)
        self._modules = Modules([model] if isinstance(model, nn.Module) else model)
        self._aligned = self.trainable
        self._begin()

    def _begin(self) -> None:
        """Start without anything of an earlier step but state and memory."""
        self._workspace: list[Tensor] = []
        self._pending: Proposal | None = None
        self._before: Remembered | None = None
        self._blank = None
        self._running: weakref.ref[Generator[int]] | None = None

    @overload  # type: ignore[override]
    def step(self, closure: Closures, *, scaler: GradScaler | None = None) -> Tensor: ...
    @overload
    def step(self, closure: None = None) -> None: ...
    def step(
        self, closure: Closures | None = None, *, scaler: GradScaler | None = None
    ) -> Tensor | None:
        """Take one step.

        Args:
            closure: Runs forward and backward on one mini-batch and returns the loss; called once
                for each pass. To accumulate over micro-batches either let it run them all (one
                perturbation for all), or give a closure for each (a perturbation for each:
                m-sharpness); their losses, divided by their number, then add up as in torch. None
                after `passes`.
            scaler: Of a float16 run; the closure calls `scaler.scale(loss).backward()`. Gradients
                are unscaled, a step that is not finite is skipped, and the scale is updated.

        Returns:
            The loss of the clean pass, at the weights before the step; of several closures the sum.

        A closure that raises leaves weights and counters as they were, for another try; the running
        means of F-SAM and VaSSO have counted its first gradient.

        Raises:
            ConfigError: If there are gradients from before the step, which it would not use.
        """
        self._end_passes()
        if closure is None:
            self._finish()
            return None
        closures = accepted.closures_of(closure)
        self._refuse_gradients()
        if self._pending is not None:
            said = "passes() has run: take its step with step(), without a closure; in Lightning, "
            raise ConfigError(said + "which adds one, give step(closure) in place of passes()")
        cautious = self.skip_nonfinite or scaler is not None
        self._align()
        before = Remembered(self.method, copied=cautious or len(closures) > 1)
        proposals = list[Proposal]()
        try:
            with torch.no_grad(), self._apart():
                for each in closures:
                    if proposals:
                        before.restore(self.method)  # several closures are one step
                    proposals.append(
                        Proposal.of(self.method, self._oracle(scaler, each, len(closures)))
                    )
                proposal = functools.reduce(Proposal.merge, proposals)
        except BaseException:
            before.restore(self.method)
            raise
        self.method.memory = proposal.memory
        self._take(proposal, before if cautious else None)
        if scaler is not None:
            scaler.update()
        return proposal.loss

    def passes(self, *, scaler: GradScaler | None = None) -> Generator[int]:
        """Run the passes of a step in a loop that owns forward and backward.

            for _ in optimizer.passes():         # once for each pass that the method asks for
                loss_of(model).backward()
            optimizer.step()

        Each pass starts without gradients of the optimizer's parameters (those of others keep the
        first pass's), at the weights that the method wants, and yields its
        number, from 0. Afterwards the gradients are the step's direction, to be clipped or unscaled
        as usual. Passes that are run again before `step`, on another micro-batch, add theirs to it;
        those that were left before their end add nothing.

        Args:
            scaler: Of a float16 run; each pass calls `scaler.scale(loss).backward()`, and
                `scaler.step(optimizer)` and `scaler.update()` follow. The direction is scaled.

        Raises:
            ConfigError: If there are gradients from before.
        """
        own: SharpnessAware = vars(self).get("_optimizer", self)  # of a wrapper what it wraps
        own._end_passes()
        running = own._run_passes(scaler)
        own._running = weakref.ref(running)
        return running

    def _run_passes(self, scaler: GradScaler | None) -> Generator[int]:
        self._refuse_gradients()
        if self._pending is not None and self.loss_decay:
            said = "passes() of several micro-batches would count loss_decay for each: give step() "
            raise ConfigError(said + "a list of closures in place of them")
        self._align()
        if self._before is None:
            self._before = Remembered(self.method)
        earlier = Remembered(self.method, copied=False)
        oracle, gradients = self._oracle(scaler), list[Vector]()
        proposal = None
        try:
            with self._apart():
                while proposal is None:
                    self._before.restore(self.method)
                    oracle.answers = [gradient.clone() for gradient in gradients]
                    try:
                        with torch.no_grad():
                            proposal = Proposal.of(self.method, oracle)
                    except NextPass as asked:
                        with oracle.pass_at(asked.point):
                            yield len(gradients)
                            with torch.no_grad():
                                gradients.append(oracle.collect())
        except BaseException:  # the loop was left: what earlier micro-batches added stays
            if self._pending is not None:
                earlier.restore(self.method)
                self._pending.show(self.param_groups)
            raise
        with torch.no_grad():
            if scaler is not None:
                proposal.direction = Vector(scaler.scale(proposal.direction.tensors))
            if self._pending is not None:
                proposal = self._pending.merge(proposal)
        self.method.memory = proposal.memory
        self._pending = proposal
        proposal.show(self.param_groups)

    @property
    def observation(self) -> Observation | None:
        """What the last observed step learned of its perturbation; waits for the device."""
        return None if self.observed is None else Observation(*self.observed.tolist())

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear all gradients and, except within a pass, what `passes` has run."""
        super().zero_grad(set_to_none)
        note_gradients(self.trainable)
        if self._open_passes() is None:
            self._drop_pending()

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle all of it but what lasts a step, and what a scheduler has put over it."""
        brief = {"step", "_workspace", "_pending", "_before", "_blank", "_running"}
        return {name: value for name, value in self.__dict__.items() if name not in brief}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(accepted.describe_missing(type(self).__name__, name))

    def _apart(self) -> AbstractContextManager[None]:
        return nullcontext() if self.per_replica is None else self.per_replica.no_sync()

    def _oracle(
        self, scaler: GradScaler | None, closure: Closure | None = None, closures: int = 1
    ) -> GradientOracle:
        return GradientOracle(
            parameters=self.trainable,
            modules=self._modules,
            closure=closure,
            workspace=self._workspace,
            replay=self.replay_randomness,
            observer=Observer() if self.observing else None,
            scaler=scaler,
            loss_decay=self.loss_decay / closures,  # of the whole step, as their losses' sum is
            apart=self.per_replica is not None,
        )

    def _take(self, proposal: Proposal, before: Remembered | None) -> None:
        """Have the base optimizer take a proposal; with `before`, only if it is finite."""
        if self.observing:
            last = proposal.oracles[-1]
            self.observed = last.observer.observed(last.seen) if last.observer else None
        with torch.no_grad():
            if self.per_replica is not None:
                for vector in proposal.vectors:
                    average_(vector, self.per_replica)
            if before is not None and not proposal.finite():
                before.restore(self.method)
                self.skipped += 1
            else:
                if self.max_norm:
                    proposal.clip_(self.max_norm)
                proposal.show(self.param_groups)
                self._step_base()
                if proposal.beside is not None:
                    vector, factor = proposal.beside
                    proposal.oracles[-1].weights.add_(vector, -self.method.setting("lr") * factor)
        note_gradients(self.trainable)
        self._pending = self._before = self._blank = None

    def _finish(self) -> None:
        """Take the step whose passes the loop has run."""
        self._notice_cleared()
        pending, before = self._pending, self._before
        if pending is None:
            if self._is_initialization():
                self._initialize()
                return
            raise ConfigError(
                f"{self.info.name} needs its passes: give step() a closure that runs forward and "
                "backward, or run `for _ in optimizer.passes(): ...` before it"
            )
        if pending.beside is not None and foreign_gradients(self.trainable):
            raise ConfigError(
                f"{self.info.name} applies a part of its step beside the gradients, which were "
                "changed since passes(): clip with max_norm=, scale with step(closure, scaler=)"
            )
        pending.received = [parameter.grad is not None for parameter in self.trainable]
        pending.direction = Vector(
            torch.zeros_like(p) if p.grad is None else p.grad for p in self.trainable
        )
        self._take(pending, before if self.skip_nonfinite else None)

    def _refuse_gradients(self) -> None:
        """Refuse gradients that are neither zero nor those of the last step: they would be lost."""
        self._notice_cleared()
        if any(bool(gradient.any()) for gradient in foreign_gradients(self.trainable)):
            raise ConfigError(
                f"{self.info.name} would not use the gradients from before this step: clear them "
                "with zero_grad(); to accumulate give step() a list of closures, to clip max_norm="
            )

    def _notice_cleared(self) -> None:
        """Forget passes whose gradients were cleared: no step followed."""
        if all(parameter.grad is None for parameter in self.trainable):
            self._drop_pending()

    def _open_passes(self) -> Generator[int] | None:
        """Return what `passes` has begun, where it stands within a pass."""
        running = None if self._running is None else self._running()
        suspended = running is not None and getgeneratorstate(running) == GEN_SUSPENDED
        return running if suspended else None

    def _end_passes(self) -> None:
        """Give the weights back where somebody holds passes that were left before their end."""
        if (left := self._open_passes()) is not None:
            left.close()

    def _drop_pending(self) -> None:
        if self._before is not None:
            self._before.restore(self.method)
        self._pending = self._before = None
