"""The names of the profiles that come with the package."""

__all__ = ["BUILTIN"]

BUILTIN = ("auto", "boot", "bootc", "cos", "kairos")
"""The profiles that come with the package."""
