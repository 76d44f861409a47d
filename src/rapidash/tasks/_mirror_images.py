"""Mirror images of people: a person in a mirror is a person, whose left hand is the right hand of the original."""

import torch

from rapidash.data import CloudDataset

_LEFT, _RIGHT = (1, 2, 3, 4, 5, *range(17, 24)), (6, 7, 8, 9, 10, *range(24, 31))  # leg and arm, joint by joint
_MIRROR = (-1.0, 1.0, 1.0, 1.0)  # x -> -x, as a motion


def with_mirror_images(people: CloudDataset) -> CloudDataset:
    """The people, then their mirror images x -> -x with the numbers of left and right joints exchanged.

    The field "joint" holds the numbers of CMU's 31 joints; all fields else follow their representation.
    """
    batch = people.batch(torch.arange(len(people)))
    other_side = torch.arange(31)
    other_side[list(_LEFT + _RIGHT)] = torch.tensor(_RIGHT + _LEFT)
    images = batch.transform(torch.diag(batch.pos.new_tensor(_MIRROR)))
    images = images.with_tensor("joint", other_side[batch["joint"]])
    both = {name: torch.cat([tensor, images[name]]) for name, tensor in people.tensors.items()}
    return CloudDataset(both, people.fields, people.num_points.repeat(2))
