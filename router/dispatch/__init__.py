"""Use cases and the routing loop: wake, look, decide, commit, push."""
