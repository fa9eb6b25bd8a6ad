"""A simulated contact center that replays a real day of call volumes against the router."""
