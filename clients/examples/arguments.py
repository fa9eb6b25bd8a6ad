"""The arguments that all examples share."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

from clients import ApiError, Connection

Example = Callable[[Connection, argparse.Namespace], Awaitable[None]]


def run(
    example: Example, about: str | None, token: str, more: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Read the arguments, run the example over a connection, and end with code 1 and one line on an error."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--address", default="127.0.0.1:50051", help="where the router listens (%(default)s)")
    parser.add_argument("--token", default=token, help="bearer token (%(default)s)")
    parser.add_argument("--site", default="default", help="site (%(default)s)")
    more(parser)
    arguments = parser.parse_args()
    try:
        asyncio.run(_connected(example, arguments))
    except (ApiError, TimeoutError) as error:
        sys.exit(f"error: {str(error) or 'no answer in time'}")


async def _connected(example: Example, arguments: argparse.Namespace) -> None:
    async with Connection(arguments.address, site=arguments.site, token=arguments.token) as connection:
        await example(connection, arguments)
