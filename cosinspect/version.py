"""The version of cosinspect, where everything that tells it finds it."""

__version__ = "0.1.0"
