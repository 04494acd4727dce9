"""From files on a disk to catalogued, split, augmented images."""
