"""What a user asks for: runs, measurements and suites, checked and expanded. Without torch."""
