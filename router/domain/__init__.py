"""Vocabulary, lifecycle, routing values and ports. Standard library only."""
