"""What one iteration computes: losses, augmentation, updates. It knows no files, clocks and logs."""
