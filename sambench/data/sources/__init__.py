"""Where images come from: `published.yaml` says what each set is, the files how it is read."""

from sambench.data.family import family_of, rows
from sambench.data.source import sources

for _name, _row in rows().items():
    if "read" in _row:
        sources.register(family_of(_name, _row))
