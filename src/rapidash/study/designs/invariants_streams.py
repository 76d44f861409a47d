"""The study of streams: digits half of which are turned and half of which differ in size."""

from dataclasses import replace

from rapidash.methods import Variant
from rapidash.models import ImageGCNNConfig, NetworkConfig
from rapidash.study._design import StudyDesign
from rapidash.symmetrize import MultiStreamConfig, ScaleStreamConfig
from rapidash.train import TrainConfig

SCALES = (1.0, 2**0.5, 2.0)  # digits are shrunk by up to 2


def make_design(full: bool) -> StudyDesign:
    """A stream that keeps turns beside one that sees three scales, and others of as many weights (9,400 to 10,100).

    Quick: 240 steps, three seeds. Full: 1,000 steps, five seeds.
    """
    narrow, plain, turning = "plain CNN, 11 channels", "plain CNN, 22 channels", "C4 stream"
    scaled, both = "scale stream", "C4 stream + scale stream"
    root = ImageGCNNConfig(symmetry="C1", channels=11, pooling="max", readout_dim=16)
    wide, turns = replace(root, channels=22), replace(root, symmetry="C4")
    half = replace(root, channels=15, readout_dim=0)
    streams = MultiStreamConfig((replace(turns, channels=8, readout_dim=0), ScaleStreamConfig(half, SCALES)))
    means = "means in the place of maxima over places"

    def changed(name: str, model: NetworkConfig, knob: str, neighbor: str) -> Variant:
        return Variant(name, model, neighbor=neighbor, knob=knob)

    variants = (
        Variant(narrow, root),
        changed(plain, wide, "more channels", narrow),
        changed(f"{plain}, means", replace(wide, pooling="mean"), means, plain),
        changed(turning, turns, "convolutions that keep quarter turns", narrow),
        changed(f"{turning}, means", replace(turns, pooling="mean"), means, turning),
        changed(scaled, ScaleStreamConfig(wide, SCALES), "the largest over three scales", plain),
        changed(both, streams, "half the weights in a stream that keeps turns", scaled),
        changed("two plain streams", MultiStreamConfig((half, half)), "streams that keep nothing", both),
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
