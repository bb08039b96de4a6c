"""A large, real cOS derivative, made on the spot: what cosinspect is measured and judged on.

A Debian system with the parts of a derivative of generation G2 (cOS toolkit v0.8) at their true names and the initrd
that the real dracut makes of them. Nothing is copied from the toolkit: the scripts, units and configuration under
``rootfs/`` are stand-ins that do the same work, so that the image boots.
"""

from __future__ import annotations
