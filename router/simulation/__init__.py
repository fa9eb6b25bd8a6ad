"""The simulator: a modelled call center around the router's own dispatch, policies and in-memory store."""
