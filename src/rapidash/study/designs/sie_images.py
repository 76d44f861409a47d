"""The study of split features on images: the template clouds of `sie`, which the encoder sees rendered."""

from dataclasses import replace

from rapidash.models import RenderedCNNConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs import sie
from rapidash.study.designs._split_features import split_arms


def make_design(full: bool) -> StudyDesign:
    """As the study of template clouds, with images of 24 x 24 pixels in place of coordinates; without the split by
    construction, since the layers of no network turn an image with the cloud behind it.

    Quick: 1,600 steps, three seeds. Full: 12,000 steps, five seeds.
    """
    clouds = sie.make_design(full)
    steps = 2 * clouds.train.steps
    train = replace(clouds.train, steps=steps, learning_rate=4e-3, eval_every=steps // 4, checkpoint_every=steps // 4)
    return replace(clouds, variants=split_arms(RenderedCNNConfig(channels=8), None), train=train)
