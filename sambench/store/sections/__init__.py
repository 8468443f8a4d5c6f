"""The sections of a run's record, field by field: what `run.json` holds beside its configuration.

Each is read by attributes or as the mapping that the file has. Fractions are in 0..1, seconds are
wall clock. A field that a record may lack is annotated with `UnsetType`.
"""
