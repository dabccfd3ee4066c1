"""python -m train: the trainer on the command line."""
