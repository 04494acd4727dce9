"""Reading data sets: catalogues, splits, cached images and augmentation."""
