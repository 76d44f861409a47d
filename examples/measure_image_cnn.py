"""
Where does an image network lose translation equivariance?
==========================================================

A plain CNN with two strided layers. Convolutions commute with shifts of the image; strides sample the result on a
coarser grid, and what that grid cannot hold is aliased. The layerwise Lie derivative finds it.
"""

import torch
from torch import nn

from rapidash.groups import SO, Image, Intensity, Scalar, T, brightness
from rapidash.measure import Action, layerwise_equivariance_error, local_equivariance_error

torch.manual_seed(0)
SIZE = 16


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, padding_mode="circular")


model = nn.Sequential(
    conv(1, 8), nn.GELU(), conv(8, 8, stride=2), nn.GELU(), conv(8, 16), nn.GELU(), conv(16, 16, stride=2), nn.GELU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
)  # fmt: skip

# %%
# Train it on stripes with four slopes at random places: a task that is invariant to translations.
rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")


def stripes(num: int) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.randint(4, (num,))
    waves = torch.tensor([[2, 0], [0, 2], [2, 2], [2, -2]])[labels]
    phase = 2 * torch.pi * (waves[:, 0, None, None] * rows + waves[:, 1, None, None] * columns) / SIZE
    images = torch.cos(phase + 2 * torch.pi * torch.rand(num, 1, 1)) + 0.3 * torch.randn(num, SIZE, SIZE)
    return images[:, None], labels


optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(60):
    images, labels = stripes(64)
    loss = nn.functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
model = model.double().eval()
images, labels = stripes(16)
images = images.double()
print(f"accuracy {(model(images).argmax(-1) == labels).double().mean():.2f}")

# %%
# How far is the trained network from invariant, per pixel of translation and per radian of rotation?
image = Image("fourier", extent=SIZE)  # a translation by 1 is one pixel of the input, in every feature map
for group in (T(2), SO(2)):
    action = Action(group, image, Scalar())
    print(local_equivariance_error(model, images, action, relative=True).report())
print(local_equivariance_error(model, images, Action(brightness(), Intensity(), Scalar()), relative=True).report())

# %%
# Which layers are to blame for the translations? Feature maps are images, what follows the pooling is invariant.
hidden = {nn.Conv2d: image, nn.GELU: image, nn.AdaptiveAvgPool2d: (image, Scalar()), "*": Scalar()}
layers = layerwise_equivariance_error(model, images[:4], Action(T(2), image, Scalar()), hidden)
print(layers.report())

sizes = dict(zip([name for name, _ in layers.layers], layers.rms.square().mean(dim=0).sqrt().tolist()))
strided, plain = (sizes["2"], sizes["6"]), (sizes["0"], sizes["4"])
assert max(plain) < 1e-10 * max(strided)  # convolutions without stride are exactly equivariant
print(f"strided convolutions {max(strided):.2g}, the nonlinearities {max(sizes[i] for i in ('1', '3', '5', '7')):.2g}")
