"""Where images come from: `published.yaml` says what each set is, the files how it is read."""

from sambench.data.family import family_of, rows
from sambench.data.source import sources

for _name, _row in rows().items():
    if _name != "medmnist":  # many sets of one kind, which `archives.py` completes
        sources.register(family_of(_name, _row))
