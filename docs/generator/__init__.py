"""Writes the pages under docs/ from the package itself: `python -m docs.generator`, or `make docs`.

docstrings, markdown   what code says of itself, and how a page says it
↑
optimizers, identities   a page for each optimizer, with what its tests hold it to
curvature, settings, suites, record, json_schema   one page each
↑
pages   all of them, by their path

Nothing on a page is written twice: equations and meanings are docstrings, defaults and bounds are
the declarations that check them, tests are those that run.
"""
