"""Job queues that others have made, each in its own client, from an environment of its own."""
