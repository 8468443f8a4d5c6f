"""What is kept of runs: records, the results tree, the state of each run, and its environment."""
