"""Where images come from: `published.yaml` says what each set is, the files how it is read."""
