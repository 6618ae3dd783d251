"""Error handling broken on purpose, one place at a time, to see that the contract suites notice."""
