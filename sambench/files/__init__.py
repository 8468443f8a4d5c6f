"""What touches a disk: atomic writes, arrays, YAML text, claims, locks and free space."""
