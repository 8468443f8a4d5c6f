"""The file that tells every process of a launch what to do."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest

from sambench.errors import LaunchError
from sambench.files.checksums import read_sealed
from sambench.launch.manifest import Manifest
from tests.launch.conftest import TINY, ManifestMaker


def test_what_is_written_is_read(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(3, hessian=TINY, stop="patience=3")
    path = manifest.write()
    assert Manifest.read(path) == manifest
    assert path.parent.parent == manifest.results / "launches"
    assert manifest.write() != path


def test_runs_of_a_plugin_that_is_not_loaded_can_be_measured(make_manifest: ManifestMaker) -> None:
    """Their optimizer is not needed for that; one run alone could be, several could not."""
    manifest = make_manifest(2, hessian=TINY)
    configs = [msgspec.structs.replace(c, optimizer={"name": "mine"}) for c in manifest.configs]
    there = replace(manifest, configs=tuple(configs))
    assert Manifest.read(there.write()) == there


@pytest.mark.parametrize(
    ("change", "said"),
    [({"version": 1}, "version 1, not 3"), ({"configs": [{"model": 3}]}, "is no manifest")],
)
def test_what_is_no_manifest(
    make_manifest: ManifestMaker, change: dict[str, object], said: str
) -> None:
    path = make_manifest().write()
    path.write_text(json.dumps({**json.loads(read_sealed(path)), **change}))
    with pytest.raises(LaunchError, match=said):
        Manifest.read(path)


def test_a_manifest_that_is_gone(make_manifest: ManifestMaker) -> None:
    path = make_manifest().write()
    path.unlink()
    with pytest.raises(LaunchError, match="cannot be read"):
        Manifest.read(path)
