"""Many images: which they are, in what order they are inspected so that each layer is read once, and what is written of them."""
