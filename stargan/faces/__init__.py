"""From a photograph to the aligned square that a model takes, and what marks its facial parts."""
