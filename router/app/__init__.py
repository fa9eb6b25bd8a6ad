"""The whole router: put together by `build`, run as one or several processes by `serve`."""

from router.app.root import App, RandomIds, build
from router.app.serving import StartFailedError, StoreLostError, serve

__all__ = ["App", "RandomIds", "StartFailedError", "StoreLostError", "build", "serve"]
