"""Small programs, one for each role; each takes `--address` and `--token` and ends by itself."""
