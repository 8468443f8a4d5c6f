import sys

sys.dont_write_bytecode = False  # modules are compiled, and tests rewritten by pytest, but once
