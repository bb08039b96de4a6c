"""The version of cosinspect and its address, where everything that names them finds them."""

__version__ = "0.1.0"

PROJECT = "https://github.com/cosinspect/cosinspect"
"""The address of the project, as `[project.urls]` of pyproject.toml has it."""
