"""All pages, by their path under docs/."""

from __future__ import annotations

import json

from docs.generator import curvature, optimizers, record, settings, suites
from docs.generator.json_schema import record_schema
from docs.generator.markdown import Page

INDEX = """
These pages are made from the package by `make docs`; a test holds them to it. The project's
[README](../README.md) says what sambench is for and how to begin.

- [Optimizers](optimizers/README.md): every method's equation, reference, cost, hyperparameters and
  what its tests hold it to; the contract that all keep.
- [Curvature](curvature.md): what the eigenvalues, the trace and the median, mean and SD over
  batches are, how far each can be trusted, and every setting of a measurement.
- [Settings of a run](settings.md): what `--set` and a suite can change.
- [Suites](suites.md): the YAML of a study, and the suites that come with the package.
- [Records](record.md): every field of `run.json`, also as a [JSON Schema](record.schema.json).

Written by hand: [How to read a report](reading-a-report.md), [Clusters](clusters.md),
[using what was trained](using-a-run.md),
[coming from another library](coming-from-another-library.md), and
[the design of the package](design.md).
"""


def pages() -> dict[str, str]:
    """Return the text of each page by its path."""
    index = Page("Documentation")
    index.text(INDEX)
    return {
        "README.md": str(index),
        **optimizers.pages(),
        "curvature.md": curvature.page(),
        "settings.md": settings.page(),
        "suites.md": suites.page(),
        "record.md": record.page(),
        "record.schema.json": json.dumps(record_schema(), indent=2, ensure_ascii=False) + "\n",
    }
