"""`python -m sambench`: the command line."""

from sambench.cli import main

main()
