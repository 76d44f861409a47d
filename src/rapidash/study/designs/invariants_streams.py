"""The study of streams: digits half of which are turned and half of which differ in size."""

from rapidash.methods import Variant
from rapidash.models import ImageGCNNConfig
from rapidash.study._design import StudyDesign
from rapidash.symmetrize import MultiStreamConfig, ScaleStreamConfig
from rapidash.train import TrainConfig

SCALES = (1.0, 2**0.5, 2.0)  # digits are shrunk by up to 2


def make_design(full: bool) -> StudyDesign:
    """A stream that keeps turns beside one that sees three scales, and others of as many weights.

    Quick: 240 steps, three seeds. Full: 1,000 steps, five seeds.
    """
    plain, both = "plain CNN", "C4 stream + scale stream"
    variants = (
        Variant(plain, ImageGCNNConfig(symmetry="C1", channels=22, pooling="max", readout_dim=16)),
        Variant(
            "C4 stream",
            ImageGCNNConfig(symmetry="C4", channels=11, pooling="max", readout_dim=16),
            neighbor=plain,
            knob="quarter turns",
        ),
        Variant(
            "plain CNN, means",
            ImageGCNNConfig(symmetry="C1", channels=22, readout_dim=16),
            neighbor=plain,
            knob="means in the place of maxima",
        ),
        Variant(
            "C4 stream, means",
            ImageGCNNConfig(symmetry="C4", channels=11, readout_dim=16),
            neighbor="C4 stream",
            knob="means in the place of maxima",
        ),
        Variant(
            "scale stream",
            ScaleStreamConfig(ImageGCNNConfig(symmetry="C1", channels=22, pooling="max", readout_dim=16), SCALES),
            neighbor=plain,
            knob="the largest over three scales",
        ),
        Variant(
            both,
            MultiStreamConfig(
                (
                    ImageGCNNConfig(symmetry="C4", channels=8, pooling="max"),
                    ScaleStreamConfig(ImageGCNNConfig(symmetry="C1", channels=15, pooling="max"), SCALES),
                )
            ),
            neighbor="C4 stream",
            knob="a stream of scales beside it",
        ),
        Variant(
            "two plain streams",
            MultiStreamConfig(
                (
                    ImageGCNNConfig(symmetry="C1", channels=15, pooling="max"),
                    ImageGCNNConfig(symmetry="C1", channels=15, pooling="max"),
                )
            ),
            neighbor=both,
            knob="streams that keep nothing",
        ),
    )
    train = TrainConfig(
        steps=1000 if full else 240,
        batch_size=50,
        learning_rate=1e-2,
        weight_decay=0.0,
        warmup_steps=20,
        ema_decay=0.0,
        eval_every=200 if full else 60,
        checkpoint_every=1000 if full else 240,
    )
    seeds = (0, 1, 2, 3, 4) if full else (0, 1, 2)
    options = {"cues": "turns and sizes"}
    setting = "full" if full else "quick"
    return StudyDesign("rotated-digits", variants, train, seeds, task_options=options, setting=setting)
