"""What is done: one run, and its measurements. Here data, model, optimizer and training meet."""
