"""Ways to do runs: in-line, by workers on several devices, on a Slurm or a Ray cluster.

All start the same idempotent unit of work (`unit.py`) and carry no results: how a run stands is
read from its own files. A launcher is a file here that registers itself.
"""
