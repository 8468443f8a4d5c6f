"""The modules that a closure runs: whose running statistics to keep, and what each tensor is for.

An optimizer is given parameters, not a model. Watching the first pass of a step shows every module
that takes part, so nobody has to hand over the model too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.module import register_module_forward_pre_hook

from sambench.optim.spare_buffers import SpareBuffers

NORMALIZATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Role:
    """What a parameter is for.

    Attributes:
        weight: It multiplies: a weight of a layer, the scale of a normalisation. False for biases,
            tokens, position embeddings and tables.
        normalization: It belongs to a normalisation layer.
    """

    weight: bool
    normalization: bool


class ModulesSeen:
    """The modules that ran in the last watched pass, and all modules inside them.

    What is inside counts although it did not run, since a layer that is skipped at random may run
    in a later pass of the same step.
    """

    def __init__(self) -> None:
        self._modules: dict[nn.Module, None] = {}
        self._plan: SpareBuffers | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note the modules that run inside this context."""

        def note(module: nn.Module, inputs: Any) -> None:
            if module not in self._modules:
                self._modules.update(dict.fromkeys(module.modules()))

        self._modules = {}
        hook = register_module_forward_pre_hook(note)
        try:
            yield
        finally:
            hook.remove()

    @contextmanager
    def statistics_kept(self) -> Iterator[None]:
        """Give modules in training mode other buffers inside this context, their own back after.

        So no pass inside leaves a trace on means, variances and counters, of any normalisation
        layer, torch's or one's own, with any momentum, and also where it raises or gives NaN.
        torch's batch normalisation only writes to its buffers while training, so what is in the
        spare ones does not matter; all other modules get copies of their own. The spare buffers
        are the same in every step: a captured CUDA graph goes on writing to them.
        """
        training = [module for module in self._modules if module.training and module._buffers]
        plan = self._plan
        if plan is None or not plan.fits(training):
            plan = self._plan = SpareBuffers(training, plan)
        plan.refresh()
        try:
            plan.put_in()
            yield
        finally:
            plan.put_back()

    def roles(self, parameters: Iterable[Tensor]) -> list[Role]:
        """Return the role of each parameter, told by the module that owns it.

        A module's own attribute name decides (`weight`, `in_proj_weight`), not the path to it. A
        parameter of no module that ran is a weight if it has two dimensions or more.
        """
        owners = {
            id(parameter): (module, name)
            for module in self._modules
            for name, parameter in module._parameters.items()
            if parameter is not None
        }
        return [
            _role(parameter, *owners.get(id(parameter), (None, ""))) for parameter in parameters
        ]


def _role(parameter: Tensor, module: nn.Module | None, name: str) -> Role:
    if module is None:
        return Role(weight=parameter.dim() > 1, normalization=False)
    parametrized = isinstance(module, nn.utils.parametrize.ParametrizationList)
    return Role(
        weight="weight" in name or parametrized,
        normalization=isinstance(module, NORMALIZATIONS),
    )
