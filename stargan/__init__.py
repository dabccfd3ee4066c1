"""StarGAN v2: networks, checkpoints, masks, alignment and fast translation."""
