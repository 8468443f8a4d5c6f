"""Where runs can go: each module registers a launcher; adding one touches one file."""
