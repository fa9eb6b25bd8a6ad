"""The command line `workrouter`."""
