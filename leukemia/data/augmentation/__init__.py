"""Random transformations of whole batches: one set of parameters, carried out by OpenCV on a CPU or torch on a GPU."""
