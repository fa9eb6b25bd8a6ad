"""The store on Redis or Valkey: one Lua function per transition."""

from router.state.redis.store import RedisStore

__all__ = ["RedisStore"]
