"""A cache of layers, merged trees and other results, each under the digest of everything that decides it.

A key is the digest of the content's own digests, the bounds, and the code that read it. Entries therefore
never become outdated.

It may import `compression`, `formats`, `layer`, `oci`, `rootfs` and `tar`. `code` lists the code that decides
an index or a tree. `store` and `shared` keep records. `parsed` shares values parsed from files. `answers` has what
the command printed; it, and what it imports, loads no third-party library.
"""

from cosinspect.deferred import deferred_names

TYPE_CHECKING = False

if TYPE_CHECKING:
    from cosinspect.cache.cache import Cache
    from cosinspect.cache.store import DirectoryStore, Kept, Store, open_directory

__all__ = ["Cache", "DirectoryStore", "Kept", "Store", "open_directory"]

_MODULES = {
    "Cache": "cache",
    "DirectoryStore": "store",
    "Kept": "store",
    "Store": "store",
    "open_directory": "store",
}

if not TYPE_CHECKING:
    __getattr__ = deferred_names(__name__, _MODULES)
