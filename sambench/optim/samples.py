"""A closure that tells the samples of its mini-batch apart, for methods that choose among them."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor
from torch.amp import GradScaler

from sambench.errors import ConfigError

FORWARD_SHARE = Fraction(1, 3)  # cost of a forward pass alone, in forward and backward passes


class SampleClosure:
    """Forward and backward on a mini-batch, or on some of its samples.

    Give it to `step` in place of a plain closure, for methods that tell samples apart (ESAM):

        losses = lambda some: cross_entropy(model(x[some]), y[some], reduction="none")
        optimizer.step(SampleClosure(losses))

    The losses are of the samples chosen by index or slice, shape (n,), or a ConfigError says so; a
    `scaler`, of a float16 run, scales their mean before it goes backward. `shares` are those of the
    samples' classes in the training data, shape (n,). `evaluations` counts the passes so far: one
    over a part of the batch as that part, a forward pass alone as `FORWARD_SHARE`. It is exact, so
    that the passes of many steps add up to a budget where they should.
    """

    def __init__(
        self,
        losses: Callable[[Tensor | slice], Tensor],
        scaler: GradScaler | None = None,
        shares: Tensor | None = None,
    ) -> None:
        self._losses, self._scaler, self._shares = losses, scaler, shares
        self._clean: Tensor | None = None
        self.evaluations = Fraction(0)

    def __call__(self) -> Tensor:
        """Run all samples, as a step begins; `hardest` compares with their losses."""
        losses = self._each(slice(None))
        self._clean = losses.detach()
        return self._backward(losses)

    def hardest(self, share: float, again: Callable[[], None]) -> Tensor:
        """Run the share of samples whose loss has risen most; return the mean loss of all.

        `again` is called between looking at all and running some, to restore random numbers.
        """
        assert self._clean is not None, "the first pass of a step is over all samples"
        with torch.no_grad():
            now = self._each(slice(None))
        self.evaluations += FORWARD_SHARE
        number = math.ceil(share * len(now))
        again()
        risen = (now - self._clean).topk(number).indices
        self._backward(self._each(risen), Fraction(number, len(now)))
        return now.mean()

    def weighted(self, weigh: Callable[[Tensor], Tensor]) -> Tensor:
        """Run all, weighed by their classes' shares; return the plain mean loss."""
        losses = self._each(slice(None))
        if self._shares is None:
            raise ConfigError("a method that weighs classes needs the `shares` of a SampleClosure")
        self._backward(losses * weigh(self._shares))
        return losses.mean()

    def _each(self, chosen: Tensor | slice) -> Tensor:
        losses = self._losses(chosen)
        if losses.dim() != 1:
            raise ConfigError(
                f"the losses of a SampleClosure have the shape {tuple(losses.shape)} instead of "
                'one number a sample: use reduction="none", and the mean over what a sample has'
            )
        return losses

    def _backward(self, losses: Tensor, share: Fraction | int = 1) -> Tensor:
        loss = losses.mean()
        scaled: Tensor = loss if self._scaler is None else self._scaler.scale(loss)
        scaled.backward()
        self.evaluations += share
        return loss
