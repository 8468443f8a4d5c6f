"""Who does the runs, by what the command line, a suite and the site's file say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sambench.cli.options import Launching
from sambench.config.launcher_settings import LauncherSettings, site_options
from sambench.errors import ConfigError

SUITES = LauncherSettings(name="slurm", options={"account": "suite", "qos": "long", "setup": "b"})


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "sambench").mkdir()
    return tmp_path / "sambench" / "slurm.yaml"


def chosen(
    name: str | None,
    given: list[str],
    slurm: list[str] | None,
    more: dict[str, Any],
    suites: LauncherSettings | None = None,
    workers: int | None = None,
) -> tuple[str, dict[str, str]]:
    found = Launching(launcher=name, given=given, slurm=slurm, workers=workers).chosen(
        suites, **more
    )
    return found.name, found.options


def test_a_user_without_a_home_has_no_file_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number nobody knows."""
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 9)
    assert site_options() == {}


def test_what_a_site_needs_is_typed_once(site: Path) -> None:
    site.write_text("account: ab123\nmem-gb: 8\nsetup:\n  - module load a,b=c\n  - umask 7\n")
    given = ["partition=gpu,mem_gb=16", "setup=date"]
    name, options = chosen("local", [], given, {"retries": "1"})
    assert name == "slurm"
    assert options == {
        **{"account": "ab123", "mem_gb": "16", "partition": "gpu", "retries": "1"},
        "setup": "module load a,b=c\numask 7\ndate",
    }
    assert chosen("slurm", ["qos=x"], None, {})[1]["account"] == "ab123"
    assert chosen("local", [], None, {}) == ("local", {})
    assert chosen("ray", ["num_cpus=2"], None, {}) == ("ray", {"num_cpus": "2"})


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "account", "a: [1", "a: b: c", "\0", "a: {b: c}", "a b: c", "a: [~]"]
)
def test_a_site_file_that_is_none(site: Path, text: str) -> None:
    site.write_text(text)
    with pytest.raises(ConfigError, match=r"slurm\.yaml cannot be read"):
        chosen("slurm", [], None, {})


def test_how_yaml_spells_options(site: Path) -> None:
    site.write_text("time: 1:30:00\nexclusive: true\nwait: no\nqos: ~\nnice: 5\n")
    expected = {"time": "1:30:00", "exclusive": "", "wait": "no", "nice": "5"}
    assert chosen("slurm", [], None, {}) == ("slurm", expected)


def test_the_command_line_goes_before_the_suite_and_the_suite_before_the_site(site: Path) -> None:
    site.write_text("account: site\nconstraint: a100\nsetup: a\n")
    more = {"retries": 1, "devices": None}
    name, options = chosen(None, ["qos=short"], ["setup=c"], more, SUITES)
    assert name == "slurm"
    assert options == {
        **{"account": "suite", "constraint": "a100", "qos": "short", "retries": "1"},
        "setup": "a\nb\nc",
    }
    assert chosen(None, [], None, {}, SUITES)[1]["qos"] == "long"
    assert chosen("local", [], None, {}, SUITES, 2) == ("local", {"workers": "2"})
    rays = LauncherSettings(name="ray", options={"num_cpus": "2"})
    assert chosen(None, [], None, {}, rays) == ("ray", {"num_cpus": "2"})
    assert "num_cpus" not in chosen(None, [], ["partition=x"], {}, rays)[1]


def test_a_script_is_slurms() -> None:
    assert chosen("local", [], None, {"sbatch": "job.sh"})[0] == "slurm"
    with pytest.raises(ConfigError, match="--slurm contradicts --launcher ray"):
        chosen("ray", [], ["partition=x"], {})
