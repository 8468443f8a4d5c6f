"""What is wrong with a dataset: copies, contradictory labels, shortcuts to the class.

One question to a file; `examine.py` asks them all, `pages.py` says what was found.
"""
