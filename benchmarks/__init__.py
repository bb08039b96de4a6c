"""How fast cosinspect is: against the floor, and against what a script does today."""
