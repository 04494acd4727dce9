"""Reading data sets: catalogs, splits, cached images and augmentation."""
