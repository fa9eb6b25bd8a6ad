"""The built-in control laws, one a module; ``registry`` finds them by name."""
