"""The study of generated shapes: they are aligned, and up is y; what must a generator be told, and what may it know?"""

from dataclasses import replace

from rapidash.generate import Denoising
from rapidash.methods import Augment, Variant
from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """E(3) with and without orientations, turns about the vertical, T(3) with turned shapes and without, a frame.

    Chairs of ModelNet10, 256 points. Quick: three scales of 16 to 32 channels, 200 steps of 16 shapes, 40 samples.
    Full: four scales of 64 to 256 channels, 100,000 steps of 32 shapes with 1,024 points, for a GPU.
    """
    base = RapidashConfig(grid="platonic", num_orientations=6, ratios=0.25, basis_dim=16, basis_hidden_dim=16)
    base = replace(base, edges=("knn-8", "knn-8", "fc"), channels=(16, 32, 32), num_layers=(1, 1, 1))
    if full:
        base = replace(base, num_orientations=8, edges=("knn-8", "knn-8", "knn-8", "fc"), basis_dim=64)
        base = replace(base, channels=(64, 128, 256, 256), num_layers=(2, 2, 2, 2), basis_hidden_dim=64)
    train = TrainConfig(
        steps=100_000 if full else 200,
        batch_size=32 if full else 16,
        learning_rate=2e-3 if full else 1e-2,
        weight_decay=0.0,
        warmup_steps=1000 if full else 20,
        ema_decay=0.999 if full else 0.97,
        eval_every=5000 if full else 100,
        checkpoint_every=1000 if full else 100,
        optimizer="muon",
    )
    options = {"num_points": 1024, "num_points_earth_mover": 256, "sampling_steps": 50}
    if not full:
        options = {"num_points_earth_mover": 64, "num_val": 8, "num_test": 20, "num_samples": 40, "sampling_steps": 12}
    measures = ("samples", "generator-symmetry")
    return StudyDesign(
        "shapes-gen",
        shapes_ladder(base),
        train,
        task_options=options,
        setting="full" if full else "quick",
        measures=measures,
    )


def shapes_ladder(base: RapidashConfig) -> tuple[Variant, ...]:
    """From all motions, down to networks that see where up is, and where front is.

    Args:
        base: width, depth, grid and edges of all of them.
    """
    diffusion = Denoising()
    oriented, flat = replace(base, symmetry="E(3)", space="R3xS2"), replace(base, symmetry="E(3)", space="R3")
    upright, free = replace(flat, symmetry="SO2(y)"), replace(flat, symmetry="T(3)")
    root = Variant("E(3) on R3xS2", oriented, objective=diffusion)

    def changed(name: str, model: RapidashConfig, neighbor: str, knob: str, **rest: object) -> Variant:
        return Variant(name, model, neighbor=neighbor, knob=knob, objective=diffusion, **rest)  # type: ignore[arg-type]

    def turned(plus: str, group: str, knob: str) -> Variant:
        name = f"{loose.name} + {plus}"
        return changed(name, free, loose.name, knob, methods=(Augment(group),))

    plain = changed("E(3) on R3", flat, root.name, "no orientations: kernels see distances only")
    vertical = changed("SO2(y) on R3", upright, plain.name, "kernels and inputs know the vertical")
    loose = changed("T(3) on R3", free, vertical.name, "kernels and inputs see all components")
    return (
        root,
        changed(
            "E(3) on R3xS2 + global frame", oriented, root.name, "a constant frame as input", inputs=("global frame",)
        ),
        plain,
        vertical,
        loose,
        turned("turns", "SO2(y) about the origin", "training shapes turned about the vertical"),
        turned("rotations", "SO(3)", "training shapes turned by random elements of SO(3)"),
    )
