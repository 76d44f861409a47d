"""Streams: each is invariant to its own group, the merged output to what all have; scales are approximate."""

import math

import pytest
import torch
from torch import Tensor, nn

from rapidash._plain import from_plain, to_plain
from rapidash._seed import seeded
from rapidash.models import ImageGCNNConfig, Interface, MLPConfig, NetworkConfig
from rapidash.symmetrize import (
    Concat,
    MeanLogits,
    MultiStream,
    MultiStreamConfig,
    ScaleStream,
    ScaleStreamConfig,
    scale_error,
    zoomed,
)
from rapidash.testing import check_network

TURNS = ImageGCNNConfig(symmetry="C4", channels=3)
MIRRORS = ImageGCNNConfig(symmetry="D1", channels=3)
PLAIN = ImageGCNNConfig(symmetry="C1", channels=3)
IO = Interface(dim=0, in_scalars=1, out_scalars=5)


def blobs(num: int) -> Tensor:
    """Smooth images of 15 x 15 pixels that are zero at the border, so that a zoom loses little."""
    axis = torch.arange(15, dtype=torch.float64) - 7
    rng = seeded("blobs")
    out = torch.zeros(num, 1, 15, 15, dtype=torch.float64)
    for _ in range(3):
        y, x = (4 * torch.rand(2, num, generator=rng, dtype=torch.float64) - 2).unbind()
        gap = (axis[:, None] - y[:, None, None]) ** 2 + (axis - x[:, None, None]) ** 2
        out[:, 0] += torch.exp(-gap / 3)
    return out


def textures(num: int) -> Tensor:
    """Images of independent pixels."""
    return torch.randn(num, 1, 15, 15, dtype=torch.float64, generator=seeded("textures"))


def built(config: NetworkConfig, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = config.build(IO).double()
    network(blobs(8))  # batch statistics
    return network.eval()


def change(before: Tensor, after: Tensor) -> float:
    return float((after - before).detach().abs().max())


def test_each_stream_passes_its_own_group_and_fails_the_others() -> None:
    network, image = built(MultiStreamConfig((TURNS, MIRRORS))), textures(4)
    turned, mirrored = image.rot90(1, (2, 3)), image.flip(-1)
    before, under_turns, under_mirrors = (network.stream_features(x) for x in (image, turned, mirrored))
    assert change(before[0], under_turns[0]) < 1e-12
    assert change(before[1], under_mirrors[1]) < 1e-12
    assert change(before[0], under_mirrors[0]) > 1e-3
    assert change(before[1], under_turns[1]) > 1e-3
    assert change(network(image), network(turned)) > 1e-4  # merged: what both have, which is nothing
    assert change(network(image), network(mirrored)) > 1e-4


def test_the_merged_output_keeps_the_intersection() -> None:
    """Turns and mirrors together with half turns: C4 and D2 have the half turn in common."""
    config = MultiStreamConfig((TURNS, ImageGCNNConfig(symmetry="D2", channels=2)), merge="mean-logits")
    network, image = built(config), textures(4)
    assert change(network(image), network(image.rot90(2, (2, 3)))) < 1e-12
    assert change(network(image), network(image.rot90(1, (2, 3)))) > 1e-4
    assert config.symmetry == "C2"
    for others, expected in (((TURNS, TURNS), "C4"), ((MIRRORS, TURNS), "C1"), ((MIRRORS, MIRRORS), "D1")):
        assert MultiStreamConfig(others).symmetry == expected
    assert MultiStreamConfig((ImageGCNNConfig(symmetry="D4"), ScaleStreamConfig(TURNS))).symmetry == "C4"


def test_merges_by_hand() -> None:
    class Times(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor, self.num_outputs = factor, 2

        def forward(self, x: Tensor) -> Tensor:
            return self.factor * x

    x = torch.tensor([[1.0, 2.0]])
    network = MultiStream([Times(1.0), Times(10.0)], MeanLogits())
    assert network(x).tolist() == [[5.5, 11.0]]
    assert [one.tolist() for one in network.stream_features(x)] == [[[1.0, 2.0]], [[10.0, 20.0]]]
    network = MultiStream([Times(1.0), Times(10.0)], Concat(1))
    with torch.no_grad():
        network.readout.weight.copy_(torch.tensor([[1.0, 0.0, 0.5, 0.0]]))
        network.readout.bias.fill_(0.25)
    assert network(x).item() == 1 + 5 + 0.25
    assert MultiStream([nn.Identity(), Times(2.0)], Concat(3, widths=(2, 2)))(x).shape == (1, 3)


def test_a_finite_set_of_scales_is_approximately_invariant_and_says_how_far() -> None:
    """Nine scales leave half of what one leaves, and not nothing; a mean over places, which sees areas, keeps more."""
    image, factors = blobs(8), (0.8, 1.25, 1.0)
    dense = tuple(2 ** (k / 4) for k in range(-4, 5))

    def error(pooling: str, scales: tuple[float, ...]) -> float:
        config = ScaleStreamConfig(ImageGCNNConfig(symmetry="C1", channels=8, pooling=pooling), scales)
        found = [scale_error(built(config, seed), image, factors) for seed in range(3)]
        assert all(one.relative[2] < 1e-12 for one in found)
        assert str(found[0]).startswith("relative change under zooms by 0.8: ")
        return sum(max(one.relative) for one in found) / 3

    assert 0.1 < error("max", dense) < 0.8 * error("max", (1.0,))
    assert error("max", dense) < 0.7 * error("mean", dense)


def test_the_largest_invariants_of_all_scales_are_read_out() -> None:
    image = blobs(4)
    network = built(ImageGCNNConfig(symmetry="C1", channels=3, pooling="max"))
    large, bare = (network.head.invariants(network.fiber(x)) for x in (zoomed(image, 2.0), image))
    expected = network.head.readout(torch.maximum(large, bare))
    torch.testing.assert_close(ScaleStream(network, (2.0, 1.0)).eval()(image), expected)
    assert change(large, bare) > 0.01


def test_a_zoom_by_hand() -> None:
    """By 2 about the middle of five pixels: the pixel 2 right of the middle shows what was 1 right of it."""
    image = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    image[0, 0, 2, 3] = 1.0
    large, small = zoomed(image, 2.0)[0, 0], zoomed(zoomed(image, 2.0), 0.5)[0, 0]
    assert large[2, 4].item() == pytest.approx(1.0)
    assert small[2, 3].item() == pytest.approx(1.0)
    assert large[2, 3].item() == pytest.approx(9 / 16)  # half a pixel: Catmull-Rom
    assert zoomed(torch.ones(1, 1, 5, 5), 0.5)[0, 0, 0].tolist() == [0.0] * 5  # zeros from outside


def test_the_error_of_scale_by_hand() -> None:
    """Sums of intensities: what a zoom adds, over the deviation of the sums."""

    class Total(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sum(dim=(2, 3))

    images = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    images[1, 0, 1, 1] = 2.0  # (0, 2): deviations of 1 each from the mean; a zoom by 3 spreads the middle
    spread = float(zoomed(images[1:], 3.0).sum())
    found = scale_error(Total().eval(), images, (3.0,))
    assert found.relative[0] == pytest.approx(abs(spread - 2) / math.sqrt(2))


def test_configurations_are_networks_of_the_package() -> None:
    both = MultiStreamConfig((TURNS, ScaleStreamConfig(PLAIN, (1.0, 2.0))), stream_dim=4)
    for config in (both, ScaleStreamConfig(TURNS, (1.0,)), MultiStreamConfig((TURNS,), merge="mean-logits")):
        check_network(config, IO)
        assert from_plain(NetworkConfig, to_plain(config), complete=True) == config
    plain = to_plain(both)
    assert [stream["kind"] for stream in plain["streams"]] == ["image-gcnn", "scale-stream"]
    assert plain["streams"][1]["network"]["kind"] == "image-gcnn"


@pytest.mark.usefixtures("shape_checks_off")
def test_what_does_not_fit_is_said() -> None:
    network = built(TURNS)
    for make, message in (
        (lambda: MultiStream([], MeanLogits()), "needs at least one"),
        (lambda: MultiStream([network], "mean"), r"merge must be Concat\(num_classes\) or MeanLogits\(\), got 'mean'"),
        (lambda: MultiStream([nn.Identity()], Concat(2)), "Identity do not say num_outputs: give Concat"),
        (lambda: MultiStream([network], Concat(2, widths=(1, 2))), r"one for each of the 1 streams, got \(1, 2\)"),
        (lambda: Concat(0), "must be at least 1, got 0"),
        (lambda: ScaleStream(network, ()), "scales must be positive factors, at least one"),
        (lambda: ScaleStreamConfig(scales=(1.0, -2.0)), r"positive factors, at least one, got \(1.0, -2.0\)"),
        (lambda: MultiStreamConfig(()), "streams must name at least one network of images"),
        (lambda: MultiStreamConfig((MLPConfig(),)), "none of other data"),
        (lambda: MultiStreamConfig((TURNS,), merge="sum"), "merge must be 'concat' or 'mean-logits'"),
        (lambda: scale_error(network.train(), blobs(2), (2.0,)), "measure in eval mode"),
        (lambda: scale_error(network.eval(), blobs(2)[:1], (2.0,)), "the same for all images"),
        (lambda: scale_error(network, blobs(2), (0.0,)), "positive factors"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    wide = ImageGCNNConfig().build(Interface(dim=0, in_scalars=1, out_scalars=6))
    with pytest.raises(ValueError, match="as many logits of every stream, got shapes"):
        MultiStream([network.float(), wide], MeanLogits()).eval()(blobs(2).float())
