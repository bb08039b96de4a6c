"""What can this OS image do? Does it boot, install, upgrade, make an ISO, and if not, why?"""

__version__ = "0.1.0"
