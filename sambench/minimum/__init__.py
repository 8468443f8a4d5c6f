"""The minimum that a run has found: its curvature and surroundings, measured into its record."""
