"""A model of a call center, and the arithmetic behind it: volumes, staffing, calls, agents, desktops.

It knows nothing of the router. The demo plays it over gRPC against a running one; the simulator plays it around the
router's own policies, dispatch and in-memory store.
"""
