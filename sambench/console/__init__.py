"""Everything shown on the terminal, through Rich: progress, tables, messages.

Results go to standard output; progress and messages go to standard error. Where that is not a
terminal there is no colour and no moving bar, but a plain line for each thing that ends.
"""

from sambench.console.screen import Screen

__all__ = ["Screen"]
