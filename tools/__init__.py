"""Checks that run beside the tests, from the repository's root."""
