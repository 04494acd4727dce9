"""More or less stain, as hospitals differ in it: ``--plugin stain.py --search augment.stain=0..0.5``."""

import albumentations as A
import numpy as np

from leukemia.plugins import augmentation


class Stain(A.ImageOnlyTransform):
    """Scale the absorbance of each color by 0.8 to 1.2; by Beer-Lambert it is proportional to the amount of stain."""

    def get_params(self) -> dict:
        return {"factors": self.random_generator.uniform(0.8, 1.2, 3).astype(np.float32)}

    def apply(self, img: np.ndarray, factors: np.ndarray, **params: object) -> np.ndarray:
        absorbance = -np.log((img.astype(np.float32) + 1) / 256)
        return np.clip(256 * np.exp(-factors * absorbance) - 1, 0, 255).round().astype(np.uint8)


@augmentation("stain")
def stain(p: float) -> A.BasicTransform:
    """With probability ``p``."""
    return Stain(p=p)
