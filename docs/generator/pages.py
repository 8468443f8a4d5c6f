"""All pages, by their path under docs/."""

from __future__ import annotations

import json

from docs.generator import curvature, optimizers, record, settings, suites
from docs.generator.json_schema import record_schema
from docs.generator.markdown import Page

INDEX = """
The project's [README](../README.md) says what sambench is for and how to install it.

To begin:

- [Your first study](first-study.md): from a folder of images to a statement, step by step.
- [Reading a report](reading-a-report.md): what its words and numbers mean.
- [Questions and problems](questions.md): which optimizer to take, how long it takes, what to do
  when something goes wrong, how to cite and repeat a study.
- [Glossary](glossary.md).

To do more:

- [Suites](suites.md): the YAML of a study, and the suites that come with the package.
- [Using what was trained](using-a-run.md): predictions of a run, its files, ONNX.
- [Code of your own](plugins.md): an optimizer, a model or a dataset in a file.
- [Clusters](clusters.md): Slurm, Ray, several machines.
- [Coming from another library](coming-from-another-library.md): the same optimizers in your own
  training script.

To look up:

- [Optimizers](optimizers/README.md): every method's equation, reference, cost, hyperparameters and
  what its tests hold it to; the contract that all keep.
- [Curvature](curvature.md): what the eigenvalues, the trace and the median, mean and SD over
  batches are, how far each can be trusted, and every setting of a measurement.
- [Settings of a run](settings.md): what `--set` and a suite can change.
- [Records](record.md): every field of `run.json`, also as a [JSON Schema](record.schema.json).
- [Output for programs](json.md): what `--json` prints, and exit codes.
- [The design of the package](design.md).

The pages on optimizers, curvature, settings, suites, records and output are made from the package
by `make docs`; a test holds them to it.
"""
PROGRAMS = """
With `--json` every command prints one JSON object in place of tables on the standard output;
messages go to standard error. `--quiet` leaves only errors. Exit codes: 0 all is well; 1 a run
failed or diverged, `check` found a rule that is not kept, or the reader of the output ended early;
2 the command cannot be done as asked, and one line says why; 130 it was interrupted.

    train            a run: id, name, path (its folder), status, error, final, cost, sharpness,
                     hessian; as in the run's record, whose path is <path>/run.json
    hessian          {"runs": [a run, ...]}
    compare          {"suite", "runs": [a run, ...], "tables": [a table, ...]}
    compare --plan   {"suite", "launcher": {name, options}, "runs": [{id, name, state, action,
                     note}, ...], "states": {state: number}, "pending", "tuned_runs_to_come",
                     "forecast": {seconds, known, unknown, unmeasured, finished,
                     longest}}
    compare A B      {"tables": [a table, ...]}
    report           {"version": 2, "title", "answer": [a paragraph, ...], "statements": [{...}],
                     "results": [a section, ...], "figures": [{name, title, caption}],
                     "rest": [a section, ...], "written": [paths]}
    report --explain {"explanation": [a line, ...]}
    prepare          {"path", "contact_sheet", "reused", "summary": {...}, "audit": [paths]}
    check            {"file", "kept": whether all, "optimizers": [{name, kept, rules: [{rule,
                     kept, found}]}]}
    list             {kind: [an entry, ...]}; of runs {name, id, suite, state, note, accuracy,
                     age_seconds, settings}
    an error         {"error": the line that is printed}

A table is {"title", "headings", "rows": [[text, ...], ...], "notes"}; paths are relative if the
folders were given so; numbers of runs are as stored: accuracies 0..1, seconds, bytes. The object is
printed at the end, so it includes failed, diverged and interrupted runs. It is strict JSON: NaN and
infinity are null.

In a report, numbers are as printed: accuracies in percent, differences of them in points. A section
is {"title", "paragraphs", "items", "tables"}. The rows of its tables are {"label",
"cells": [{"text", "best", ...}, ...]}; the other keys of a cell are the numbers behind its text,
such as mean, sd, n, low, high or estimate, p. A statement is a row of `comparisons.csv`:

    setting, settings       where; over how many settings
    metric, scale, unit     what is compared, as a "difference" or "ratio", and its unit
    baseline, candidate     the two sides
    n, counted              how many independent units, and what they are: "seed", "fold", "setting"
    estimate, low, high     the candidate against the baseline, and the simultaneous interval
    p, p_equivalent         corrected p of a difference, and of one beyond the margin
    verdict                 better, worse, equivalent or undecided
    test, family            the test, and over how many comparisons p is corrected
    least_units             how many units it takes to show anything
    lost_baseline, lost_candidate, lost_count_in_p    units without a result; whether p counts them
    dz, sd                  Cohen's dz, and the SD of the differences (of logarithms for ratios)
    wins, pairs             pairs of runs that the candidate wins (ties count half), and all pairs
    low_with_other_images, high_with_other_images     interval over seeds and test images
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
        "json.md": _programs(),
        "record.schema.json": json.dumps(record_schema(), indent=2, ensure_ascii=False) + "\n",
    }


def _programs() -> str:
    page = Page("Output for programs")
    page.text(PROGRAMS)
    return str(page)
