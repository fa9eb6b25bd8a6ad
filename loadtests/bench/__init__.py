"""`make bench`: the routing loop's figures, each beside its bare reference in the same run."""
