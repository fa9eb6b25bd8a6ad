"""The gRPC edge: translate, authenticate, map errors. It decides nothing."""
