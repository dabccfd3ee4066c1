"""python -m stargan: the package on the command line."""
