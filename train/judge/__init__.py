"""How good a model is: what `evaluate` measures, the pictures of a card, and how fast a configuration trains."""
