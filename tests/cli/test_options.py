"""Who does the runs, by what the command line and the site's file say."""

from __future__ import annotations

from pathlib import Path

import pytest

from sambench.cli.options import choose_launcher
from sambench.errors import ConfigError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "sambench").mkdir()
    return tmp_path / "sambench" / "slurm.yaml"


def test_what_a_site_needs_is_typed_once(site: Path) -> None:
    site.write_text("account: ab123\nmem-gb: 8\nsetup:\n  - module load a,b=c\n  - umask 7\n")
    given = ["partition=gpu,mem_gb=16", "setup=date"]
    name, options = choose_launcher("local", (), given, {"retries": "1"})
    assert name == "slurm"
    assert options == {
        **{"account": "ab123", "mem_gb": "16", "partition": "gpu", "retries": "1"},
        "setup": "module load a,b=c\numask 7\ndate",
    }
    assert choose_launcher("slurm", ["qos=x"], None, {})[1]["account"] == "ab123"
    assert choose_launcher("local", (), None, {}) == ("local", {})
    assert choose_launcher("ray", ["num_cpus=2"], None, {}) == ("ray", {"num_cpus": "2"})


@pytest.mark.parametrize("text", ["- a\n- b\n", "account", "a: [1", "a: b: c", "\0"])
def test_a_site_file_that_is_none(site: Path, text: str) -> None:
    site.write_text(text)
    with pytest.raises(ConfigError, match=r"slurm\.yaml cannot be read"):
        choose_launcher("slurm", (), None, {})


def test_a_script_is_slurms(site: Path) -> None:
    assert choose_launcher("local", (), None, {"sbatch": "job.sh"})[0] == "slurm"
    with pytest.raises(ConfigError, match="--slurm contradicts --launcher ray"):
        choose_launcher("ray", (), ["partition=x"], {})
