"""A page for each optimizer, and one for what all have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from docs.generator.docstrings import docstring
from docs.generator.identities import OF_ALL, OF_THE_ENGINE, Identity, identities, sentences
from docs.generator.markdown import Page, code, linked, written
from sambench.analysis.grouping import Names
from sambench.optim.base import BASES
from sambench.optim.contract import RULES
from sambench.optim.hyperparameter import Hyperparameter, Mechanics, declared
from sambench.optim.method import OptimizerInfo, optimizers

INTRODUCTION = """
An optimizer of this family is a rule that asks for the gradient $`g(\\cdot)`$ of the mini-batch
loss at the weights $`w`$ and at a few perturbed points $`w + e`$, and hands one direction $`d`$ to
a base optimizer (Adam, AdamW, SGD or any of torch's), which takes it for the gradient. On the pages
below $`g = g(w)`$, norms are one L2 norm over all trainable tensors, and 1e-12 is added to a norm
before dividing by it.
"""
PASSES = """
A pass is one forward and backward pass over the mini-batch; elsewhere it is called a gradient
evaluation. Memory is in copies of the parameters beyond what the base optimizer holds itself (Adam:
two, SGD with momentum: one).
"""
CONTRACT = """
Every optimizer of the registry, and every plug-in by `sambench check FILE`, is run against these
rules on problems of a few hundred weights in float64, so that "the same" can mean its bits.
"""
LEFT_OUT = (
    "SAMPa (Xie et al., 2024, arXiv 2410.10683): its step adds the gradient at the perturbed "
    "weights on one mini-batch and the gradient at an auxiliary point on the next, but a step here "
    "sees one mini-batch; with both on the same one it would be another method.",
    "Look-LayerSAM (Liu et al., 2022, arXiv 2203.02714), LookSAM with a perturbation for each "
    "layer: the authors' code is not public, and other people's disagree on how a layer's "
    "perturbation is scaled: to the norm of its gradient, or by the ratio of the norms of its "
    "weights and gradient.",
)


def pages() -> dict[str, str]:
    """Return the optimizers' pages by their path."""
    tested = identities()
    found = {
        f"optimizers/{info.name}.md": _page(info, tested[info.name]) for info in optimizers.list()
    }
    return {"optimizers/README.md": _index(), **found}


def _page(info: OptimizerInfo, tested: Sequence[Identity]) -> str:
    said = docstring(info.method)
    page = Page(f"{Names().optimizer(info.name)}: `{info.name}`")
    page.text(said.summary)
    page.text(said.body)
    page.text(f"Reference: {linked(info.reference)}.")
    page.heading("Cost")
    page.table(
        ("Gradient evaluations per step", "Extra memory", "Base optimizer"),
        [(_passes(info), _memory(info), info.base or "any")],
    )
    page.heading("Hyperparameters")
    page.table(
        ("Name", "Default", "Allowed", "Meaning", "Tried by a search"),
        [_row(name, h) for name, h in info.hyperparameters.items()],
    )
    if note := info.default_note():
        page.text(f"{note[0].upper()}{note[1:]}.")
    others = "[those of its base and of every optimizer](README.md#settings-of-every-optimizer)"
    page.text(f"{'It also has' if info.hyperparameters else 'It has only'} {others}.")
    page.heading("Use")
    page.code(_command(info), "sh")
    page.code(_script(info), "python")
    page.heading("What is tested")
    page.text(
        "[The contract of every optimizer](README.md#the-contract), and in `tests/optim/` (the "
        "names of the tests, in words):"
    )
    page.bullets(map(_sentence, tested))
    return str(page)


def _sentence(identity: Identity) -> str:
    cases = f" ({identity.cases})" if identity.cases else ""
    where = f"[{identity.file}](../../tests/optim/{identity.file})"
    return f"{identity.says}{cases}: {where}"


def _passes(info: OptimizerInfo) -> str:
    count = f"{info.gradient_evaluations:.3g}"
    return f"about {count}; it depends on the training" if info.adaptive else count


def _memory(info: OptimizerInfo) -> str:
    return f"{info.extra_memory:g} × the parameters" if info.extra_memory else "none"


def _row(name: str, h: Hyperparameter[Any]) -> Sequence[str]:
    grid = ", ".join(map(written, h.grid)) or "–"
    others = [f"{code(d)} for {other} = {written(v)}" for (other, v), d in h.where.items()]
    return f"`{name}`", "; ".join([code(h.default), *others]), h.range, h.help, grid


def _command(info: OptimizerInfo) -> str:
    named = next(iter(info.hyperparameters.items()), None)
    setting = f" --set {named[0]}={written(named[1].default)}" if named else ""
    return f"sambench train --dataset phantom --model small-cnn --opt {info.name}{setting}"


def _script(info: OptimizerInfo) -> str:
    base = f'"{info.base}"' if info.base else '"adam"'
    return (
        "from sambench.optim import build\n\n"
        f'optimizer = build("{info.name}", model.parameters(), {base}, lr=1e-4)'
    )


def _index() -> str:
    page = Page("Optimizers")
    page.text(INTRODUCTION)
    page.text(PASSES)
    page.table(
        ("Name", "What it does", "Passes per step", "Extra memory", "Reference"),
        [
            (
                f"[{info.name}]({info.name}.md)",
                info.summary,
                f"{info.gradient_evaluations:.3g}",
                f"{info.extra_memory:g}",
                linked(info.reference),
            )
            for info in optimizers.list()
        ],
    )
    page.text("Two methods are missing, since they could not be stated exactly:")
    page.bullets(map(linked, LEFT_OUT))
    page.heading("Settings of every optimizer")
    page.text(docstring(Mechanics).summary)
    page.text(docstring(Mechanics).body)
    page.table(
        ("Name", "Default", "Allowed", "Meaning"),
        [_row(name, h)[:4] for name, h in declared(Mechanics).items()],
    )
    page.text(
        "The settings of the base optimizer are torch's, with torch's defaults; only the learning "
        "rate `lr` of a run is 1e-4 unless it sets another."
    )
    page.table(
        ("Base", "Class", "Settings"),
        [(f"`{b.name}`", f"`{b.path}`", _settings(b.settings)) for b in BASES.values()],
    )
    page.heading("The contract")
    page.text(CONTRACT)
    page.bullets(rule.name for rule in RULES)
    page.heading("Beyond the contract")
    page.text("Further tests of every optimizer (their names, in words):")
    page.bullets(said for said in sentences(OF_ALL) if said != "the contract")
    page.text("And of what all optimizers share:")
    page.bullets(sentences(OF_THE_ENGINE))
    return str(page)


def _settings(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name} = {written(value)}" for name, value in settings.items())
