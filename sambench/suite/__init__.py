"""What a study consists of: a suite file, read, checked and expanded into runs."""
