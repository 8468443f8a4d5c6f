"""Options that say where runs execute."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from sambench.cli import completion, options
from sambench.cli.grouping import group, option
from sambench.errors import ConfigError, UserError

workers = partial(
    option,
    "RUNS",
    "Runs at once on this machine.",
    min=1,
    show_default="on CPUs one a core, as far as the memory allows",
)
threads = partial(
    option,
    "N|all",
    "Threads of each run on a CPU; another number gives other rounding.",
    show_default="OMP_NUM_THREADS, or 1",
)
launcher = partial(
    option,
    "NAME",
    "Where runs execute: local, slurm or ray; see `sambench list launchers`.",
    default="local",
    autocompletion=completion.launchers,
)
given = partial(option, "KEY=VALUE,...", "Options of the launcher. Repeatable.", "--with")
slurm = partial(
    option,
    "KEY=VALUE,...",
    "Launch on Slurm, as partition=gpu,timeout_min=600 (minutes); any option of sbatch. "
    "Repeatable.",
)


@group("Devices and launchers")
class Launching:
    """Where runs execute, and on which devices."""

    device: str | None = options.device()
    devices: str | None = option(
        "DEVICE,...",
        "Several devices at once, as cuda:0,cuda:1; a worker each.",
        autocompletion=completion.devices_in_list,
    )
    runs_per_device: int | None = option(
        "RUNS", "Runs at once on each device.", min=1, show_default="1 on a GPU"
    )
    workers: int | None = workers()
    threads: str | None = threads()
    minutes: float | None = option(
        "MINUTES",
        "Stop after this many minutes and save progress; run the same command again to continue.",
        show_default="no limit",
    )
    launcher: str = launcher()
    given: list[str] | None = given()
    slurm: list[str] | None = slurm()
    sbatch: Path | None = option("FILE", "Write the Slurm job script; submit and run nothing.")
    runs_per_job: int | None = option("RUNS", "Runs of a Slurm job.", min=1, show_default="1")
    retries: int | None = option(
        "N",
        "Times that a cluster does a run again whose node or process was lost.",
        min=0,
        show_default="2",
    )

    def chosen(self) -> tuple[str, dict[str, str]]:
        """Return the launcher and its options."""
        more = {name: getattr(self, name) for name in OF_THE_SAME_NAME}
        return choose_launcher(self.launcher, self.given or (), self.slurm, more)


OF_THE_SAME_NAME = (
    *("devices", "runs_per_device", "workers", "threads", "minutes"),
    *("sbatch", "runs_per_job", "retries"),
)
"""The fields that are options of the launcher of the same name."""


def choose_launcher(
    name: str, given: Sequence[str], slurm: Sequence[str] | None, more: Mapping[str, object]
) -> tuple[str, dict[str, str]]:
    """Return the launcher and its options: of `--with`, of `--slurm`, and options of ours (more).

    Slurm's are those of the site's file `~/.config/sambench/slurm.yaml` first.

    Raises:
        ConfigError: If an option is not KEY=VALUE or contradicts another.
    """
    from sambench.launch.launcher import read_options

    if slurm is not None or more.get("sbatch") is not None:
        if name not in ("local", "slurm"):
            raise ConfigError(f"--slurm contradicts --launcher {name}; give one of them")
        name = "slurm"
    options = _site_options() if name == "slurm" else {}
    for texts, where in ((given, "--with"), (slurm or (), "--slurm")):
        found = read_options(texts, where)
        if "setup" in found and "setup" in options:
            found["setup"] = f"{options['setup']}\n{found['setup']}"
        options |= found
    return name, options | {key: f"{text}" for key, text in more.items() if text is not None}


def _site_options() -> dict[str, str]:
    """Return the options for Slurm of this user's site, where there is a file of them."""
    from yaml import YAMLError

    from sambench.files.yaml_text import read_yaml

    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    file = Path(folder) / "sambench" / "slurm.yaml"
    if not file.exists():
        return {}
    try:
        found = read_yaml(file.read_text(encoding="utf-8")) or {}
        if not isinstance(found, dict):
            raise ConfigError("it has no KEY: VALUE lines")
    except (OSError, ValueError, YAMLError, UserError) as error:
        raise ConfigError(f"{file} cannot be read: {' '.join(str(error).split())}") from None
    lines = {key: value if isinstance(value, list) else [value] for key, value in found.items()}
    return {f"{k}".replace("-", "_"): "\n".join(map(str, v)) for k, v in lines.items()}
