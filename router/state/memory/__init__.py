"""A site's state in this process: the simulator's store, and the oracle that the Redis store is tested against."""

from router.state.memory.store import MemoryStore

__all__ = ["MemoryStore"]
