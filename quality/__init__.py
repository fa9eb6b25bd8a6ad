"""The quality benchmark of the blending laws: exact cases, bounds, whole days, robustness, and their report.

`make quality` runs it and rewrites docs/quality/. Everything is seeded: the same code and options, the same figures.
"""
