"""Generated messages and stubs of the public API, package router.v1."""
