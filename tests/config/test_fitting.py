"""How images of a data set are fitted into the network's input: by its median image, and recorded in the recipe."""

from __future__ import annotations

import pytest

from leukemia.base.errors import UserError
from leukemia.config.fitting import Size, fitted
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Data

FIELD = (2592, 1944)
"""The images of ALL-IDB1."""


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(450, 450)] * 3, ("crop", 384, 224)),
        ([FIELD] * 3, ("resize", None, 224)),
        # Half of the area of the median image is enough for a crop; a little less is not.
        ([(100, 200)] * 3, ("crop", 100, 100)),
        ([(100, 201)] * 3, ("resize", None, 201)),
        # One small and one large image do not decide.
        ([(60, 40), FIELD, *[(450, 450)] * 8], ("crop", 384, 224)),
        ([(450, 450), *[FIELD] * 2], ("resize", None, 224)),
        # Single cells cut out along their outlines.
        ([(70, 75), (80, 82), (90, 91)], ("crop", 80, 80)),
        # Images of less than the smallest input are padded.
        ([(28, 28)] * 3, ("crop", 32, 32)),
    ],
)
def test_the_median_image_decides(sizes: list[Size], expected: tuple[str, int | None, int]) -> None:
    resolved = Recipe().resolved(sizes)
    assert (resolved.data.fit, resolved.data.crop_px, resolved.data.size_px) == expected
    assert resolved.data.is_resolved
    # Decided once: other data do not change it.
    assert resolved.resolved([(450, 450), FIELD]) == resolved


def test_a_crop_or_a_fit_that_the_user_sets_is_obeyed() -> None:
    assert fitted(Data(crop_px=210), [(450, 450)]) == Data(fit="crop", crop_px=210, size_px=210)
    assert fitted(Data(crop_px=384), [FIELD]) == Data(fit="crop", crop_px=384, size_px=224)
    assert fitted(Data(fit="crop"), [FIELD]) == Data(fit="crop", crop_px=384, size_px=224)
    assert fitted(Data(fit="resize"), [(450, 450)]) == Data(fit="resize", size_px=224)
    assert fitted(Data(fit="resize", size_px=320), [FIELD]) == Data(fit="resize", size_px=320)


def test_another_fit_resets_the_crop() -> None:
    cropped = Recipe().resolved([(450, 450)])
    whole = cropped.with_settings({"data.fit": "resize"})
    assert (whole.data.crop_px, whole.resolved([(450, 450)])) == (None, whole)
    assert whole.with_settings({"data.fit": "crop"}).resolved([(450, 450)]) == cropped
    assert whole.with_settings({"data.fit": "auto"}).resolved([FIELD]).data.fit == "resize"
    with pytest.raises(UserError, match=r"data.crop_px has no effect with data.fit=resize; leave it out, or set data"):
        whole.with_settings({"data.crop_px": 300})


def test_a_recipe_of_an_earlier_version_crops() -> None:
    earlier = {name: value for name, value in Recipe().flat().items() if name not in ("data.fit", "data.small")}
    recipe = Recipe.from_flat({**earlier, "data.crop_px": 384, "data.size_px": 224})
    assert recipe.data == Data(fit="crop", crop_px=384, size_px=224)
    assert recipe.resolved([FIELD]) == recipe


@pytest.mark.parametrize(
    ("data", "sizes", "message"),
    [
        (
            Data(crop_px=210),
            [(200, 200), (150, 300)],
            r"data.crop_px: the crop is 210 px, but the largest image's shorter side is 200 px; set data.crop_px to at",
        ),
        (
            Data(fit="resize", size_px=512),
            [(200, 450)],
            r"data.size_px: the input is 512 px, but the largest image's longer side is 450 px; set data.size_px to at",
        ),
        (
            Data(small="refuse"),
            [(40, 60), *[(450, 450)] * 2],
            r"data.small: 1 of 3 images are smaller than the crop of 384 px, the smallest shorter side is 40 px; "
            r"set data.crop_px to at most 40, or data.small=pad, or remove them",
        ),
        (
            Data(small="refuse"),
            [(20, 20)],
            r"1 of 1 images are smaller than the crop of 32 px, the smallest shorter side is 20 px; set data.small=pad",
        ),
        (
            Data(small="refuse", fit="resize"),
            [(90, 60), *[FIELD] * 2],
            r"1 of 3 images are smaller than the input of 224 px, the smallest longer side is 90 px; set data.size_px",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused(data: Data, sizes: list[Size], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fitted(data, sizes)
