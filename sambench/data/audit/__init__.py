"""What is wrong with a dataset: one question to a file; `examine.py` asks them all."""
