"""The sections of a run's record, field by field: what `run.json` holds beside its configuration.

They are plain mappings in a record; these types say what is in them: for readers, for the pages and
the JSON Schema in docs/ that are made of them, and for the tests that hold real records to them.
Fractions are in 0..1, seconds are wall clock; a field that may be missing is `NotRequired`.
"""

from __future__ import annotations

from sambench.store.schema.curvature import Hessian
from sambench.store.schema.training import Cost, Data, Environment, Final, Perturbation

SECTIONS = {
    "environment": Environment,
    "data": Data,
    "final": Final,
    "cost": Cost,
    "sharpness": Perturbation,
    "hessian": Hessian,
}
"""By their name in a record."""
