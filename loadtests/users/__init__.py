"""The users of a load test, a file for each kind."""
