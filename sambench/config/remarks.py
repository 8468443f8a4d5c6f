"""What is worth saying of runs before they begin, by their settings alone; nothing is refused.

A setting that can do nothing beside the others, or something else than one would expect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sambench.config.optimizer import LEARNING_RATE
from sambench.config.run_config import RunConfig
from sambench.optim.method import optimizers

BUDGETS = ("gradient-evaluations", "minutes")
"""Stop rules that end each run by design, wherever its schedule is then."""


def remarks(configs: Sequence[RunConfig]) -> list[str]:
    """Return what is to be said of some runs that are made together, each sentence once."""
    found = (said for config in configs for said in (*_of_training(config), *_of_optimizer(config)))
    return list(dict.fromkeys([*found, *_of_bases(configs)]))


def _of_training(config: RunConfig) -> Iterator[str]:
    stop, schedule, epochs = config.stop, config.schedule, config.epochs
    if stop.rule in BUDGETS and schedule != "constant":
        yield (
            f"stop={stop.rule} can end a run before schedule={schedule}, which is planned over "
            f"epochs={epochs}, has lowered the learning rate; it then stays higher for optimizers "
            "that take more passes a step"
        )
    if stop.rule == "patience" and (stop.value or 0) >= epochs:
        yield f"stop=patience={stop.value:g} cannot end a run of epochs={epochs}"
    if config.sampler == config.class_weights == "balanced":
        yield (
            "sampler=balanced and class_weights=balanced both make up for rare classes: together "
            "they count these more than frequent ones"
        )
    if config.pretrained and config.normalization in ("unit", "standard"):
        yield (
            f"published weights were not trained with pixels of normalization="
            f"{config.normalization}; normalization=pretrained scales them as the weights expect"
        )
    if config.weights and config.normalization == "unit":
        yield (
            "published weights were not trained with normalization=unit; if the file holds such "
            "weights, normalization=pretrained scales pixels as they expect"
        )


def _of_optimizer(config: RunConfig) -> Iterator[str]:
    settings, info = config.optimizer, optimizers.get(str(config.optimizer["name"]))
    rate = settings.get("lr")
    if settings["base"] == "sgd" and isinstance(rate, float) and 0 < rate <= LEARNING_RATE:
        name = info.name if info.name == "sgd" else f"{info.name} on sgd"
        yield (
            f"lr={rate:g} suits Adam, as does the default of {LEARNING_RATE:g}, but {name} hardly "
            "moves with it; a hundred times as much is usual"
        )
    if settings.get("dampening") and not settings.get("momentum"):
        yield "dampening does nothing without a momentum"
    elif isinstance(dampening := settings.get("dampening"), float) and dampening > 1:
        yield f"dampening={dampening:g} is above 1, which turns each gradient around"
    if config.decayed != "all" and settings.get("loss_decay"):
        yield f"decayed={config.decayed} limits weight_decay only; loss_decay acts on all weights"
    if settings.get("replay_randomness") and info.gradient_evaluations == 1:
        yield f"replay_randomness does nothing for {info.name}, which takes one pass a step"
    rate_varies = config.schedule != "constant" or config.warmup > 0
    yield from info.method.remarks(settings, rate_varies=rate_varies)


def _of_bases(configs: Sequence[RunConfig]) -> Iterator[str]:
    """Say where a method runs on a base whose own optimizer is not among those compared."""
    used = {(str(c.optimizer["name"]), str(c.optimizer["base"])): None for c in configs}
    plain = {name for name, _ in used if optimizers.get(name).base is not None}
    for name, base in used:
        there = any(info.base == base for info in optimizers.list())
        if plain and there and name not in plain and base not in plain:
            yield (
                f"{name} runs on {base}, but is compared with {', '.join(sorted(plain))}: compare "
                f"with {base} too, or the effects of {name} and {base} cannot be separated"
            )
