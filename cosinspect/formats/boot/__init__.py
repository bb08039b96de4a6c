"""Boot loaders, kernels and initrds."""
