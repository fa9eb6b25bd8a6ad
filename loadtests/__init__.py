"""How fast the router is, measured beside bare references in the same run."""
