import math

import pytest
import torch

from dcgan.evaluation.metrics.pixels import INK, pixel_statistics

SIZE_AND_PLACE = ["longest_side", "longest_side_20", "center_row", "center_column", "center_spread"]


def drawn(*boxes: tuple[int, int, int, int], value: int = 200) -> torch.Tensor:
    """One image for each full box (top, left, height, width)."""
    images = torch.zeros((len(boxes), 28, 28), dtype=torch.uint8)
    for image, (top, left, height, width) in zip(images, boxes, strict=True):
        image[top : top + height, left : left + width] = value
    return images


@pytest.fixture
def blots() -> torch.Tensor:
    """Uint8 [60, 20, 20]: each as high as its box, with grey levels inside and full ink along its borders."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(INK, 256, (60, 20, 20), generator=rng, dtype=torch.uint8)
    images[:, [0, -1]] = 253
    for image, width in zip(images, torch.randint(8, 21, (60,), generator=rng).tolist(), strict=True):
        image[:, [0, width - 1]] = 253
        image[:, width:] = 0
    return images


@pytest.fixture
def digits(blots) -> torch.Tensor:
    """Blots somewhere near the middle."""
    rng = torch.Generator().manual_seed(1)
    images = torch.zeros((60, 28, 28), dtype=torch.uint8)
    for image, blot, (top, left) in zip(images, blots, torch.randint(3, 6, (60, 2), generator=rng), strict=True):
        image[top : top + 20, left : left + 20] = blot
    return images


def changed(before: dict[str, float], after: dict[str, float], *, by: float = 1e-12) -> list[str]:
    return [name for name in before if not math.isclose(before[name], after[name], rel_tol=0, abs_tol=by)]


def test_shares_count_their_grey_levels_and_no_other():
    every_level = torch.arange(256, dtype=torch.uint8).repeat(49).reshape(16, 28, 28)
    found = pixel_statistics(every_level)
    expected = {"zeros": 1 / 256, "haze": 4 / 256, "near_saturated": 3 / 256, "saturated": 1 / 256, "ink": 0.5}
    assert found | expected == pytest.approx(found, rel=1e-12)


def test_ink_is_the_mean_value():
    images = torch.randint(0, 256, (7, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert pixel_statistics(images)["ink"] == pytest.approx(images.double().mean().item() / 255, rel=1e-12)


def test_size_and_place_of_boxes_that_touch_every_border():
    found = pixel_statistics(drawn((0, 3, 20, 6), (26, 0, 2, 20), (27, 27, 1, 1), (0, 0, 28, 28)))
    assert found["longest_side"] == (20 + 20 + 1 + 28) / 4
    assert found["longest_side_20"] == 0.5
    rows, columns = (torch.tensor(each).double() for each in ([9.5, 26.5, 27, 13.5], [5.5, 9.5, 27, 13.5]))
    assert (found["center_row"], found["center_column"]) == pytest.approx((rows.mean().item(), columns.mean().item()))
    variances = [float(each.var(correction=0)) for each in (rows, columns)]
    assert found["center_spread"] == pytest.approx(math.sqrt(sum(variances) / 2))


def test_the_centre_is_that_of_mass_and_not_of_the_box():
    image = drawn((10, 4, 1, 1), value=60) + drawn((20, 4, 1, 1), value=180)
    found = pixel_statistics(image)
    assert [found[name] for name in SIZE_AND_PLACE] == pytest.approx([11, 0, 17.5, 4, 0])


def test_less_than_ink_has_neither_size_nor_place(digits):
    faint = digits + (digits == 0) * torch.tensor(INK - 1, dtype=torch.uint8)
    before, after = pixel_statistics(digits), pixel_statistics(faint)
    assert changed(before, after) == ["zeros", "ink"]
    assert pixel_statistics(drawn((9, 9, 2, 2), value=INK))["longest_side"] == 2


def test_images_without_ink_count_for_their_pixels_alone(digits):
    blank = torch.zeros((20, 28, 28), dtype=torch.uint8)
    before, after = pixel_statistics(digits), pixel_statistics(torch.cat([digits, blank]))
    assert [before[name] for name in SIZE_AND_PLACE] == [after[name] for name in SIZE_AND_PLACE]
    assert after["ink"] == pytest.approx(before["ink"] * 60 / 80)
    nothing = pixel_statistics(blank)
    assert [name for name, value in nothing.items() if math.isnan(value)] == SIZE_AND_PLACE
    assert (nothing["zeros"], nothing["ink"]) == (1, 0)


def test_planted_haze_is_seen_by_haze_and_zeros_alone(digits):
    """The mean value rises by what was added, a thousandth."""
    rng = torch.Generator().manual_seed(1)
    is_hazy = (digits == 0) & (torch.rand(digits.shape, generator=rng) < 0.1)
    hazy = digits + is_hazy * torch.randint(1, 5, digits.shape, generator=rng, dtype=torch.uint8)
    before, after = pixel_statistics(digits), pixel_statistics(hazy)
    assert changed(before, after, by=1e-3) == ["zeros", "haze"]
    share = is_hazy.double().mean().item()
    assert (after["haze"], before["zeros"] - after["zeros"]) == pytest.approx((share, share))
    assert [before[name] for name in SIZE_AND_PLACE] == [after[name] for name in SIZE_AND_PLACE]


@pytest.mark.parametrize(("dim", "name"), [(1, "center_row"), (2, "center_column")])
def test_a_planted_shift_is_seen_by_the_centre_along_it_alone(digits, dim, name):
    before, after = pixel_statistics(digits), pixel_statistics(digits.roll(2, dims=dim))
    assert changed(before, after) == [name]
    assert after[name] == pytest.approx(before[name] + 2)


def test_digits_placed_less_exactly_are_seen_by_the_spread_alone(digits):
    """Half of them two pixels up and half two pixels down."""
    copies = torch.cat([digits, digits])
    loose = torch.cat([digits.roll(-2, dims=1), digits.roll(2, dims=1)])
    before, after = pixel_statistics(copies), pixel_statistics(loose)
    assert changed(before, after) == ["center_spread"]
    assert after["center_spread"] ** 2 == pytest.approx(before["center_spread"] ** 2 + 2**2 / 2)


@pytest.mark.parametrize("side", [18, 20, 22])
def test_scaled_digits_are_seen_by_the_longest_side(blots, side):
    scaled = torch.nn.functional.interpolate(blots.unsqueeze(1).float(), size=side).squeeze(1).byte()
    found = pixel_statistics(torch.nn.functional.pad(scaled, (3, 25 - side, 3, 25 - side)))
    assert (found["longest_side"], found["longest_side_20"]) == (side, float(side == 20))


def test_stray_ink_makes_a_digit_longer(digits):
    stray = digits.clone()
    stray[:30, 0, 0] = INK
    assert pixel_statistics(digits)["longest_side_20"] == 1
    assert pixel_statistics(stray)["longest_side_20"] == 0.5
