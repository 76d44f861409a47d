"""The study of generated molecules: how much symmetry does a generator of atoms want?"""

from dataclasses import replace

from rapidash.generate import Denoising
from rapidash.methods import Augment, Variant
from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._generators import with_objective
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """E(3), SE(3), E(3) without orientations, T(3), T(3) with rotations or in one pose, E(3) with a global frame.

    Quick: molecules of at most 13 atoms, 5 layers of 64 channels, 2,500 steps of 64, 1,000 samples, 3 seeds: an hour of
    two cores. Full: all molecules, 9 layers of 256 channels, 100,000 steps of 96, 10,000 samples, for a GPU; also T(3)
    with orientations, whose step takes three times as long as that of E(3), T(3) with states turned at random in
    sampling, flow matching, an aligned coupling of noise and data, and a modulation by the level.
    """
    base = RapidashConfig(grid="platonic", num_orientations=6, channels=64, num_layers=5, basis_dim=64)
    base = replace(base, basis_hidden_dim=64)
    if full:
        base = replace(base, num_orientations=8, channels=256, num_layers=9, basis_dim=256, basis_hidden_dim=256)
    variants = molecule_ladder(base)
    if full:
        free = replace(base, symmetry="T(3)", space="R3xS2")
        knob = "kernels see the direction of the offset"
        variants += (replace(variants[0], name="T(3) on R3xS2", model=free, neighbor=variants[0].name, knob=knob),)
        augmented = next(variant for variant in variants if variant.name == "T(3) on R3 + rotations")
        knob = "states turned at random in sampling"
        variants += (with_objective(augmented, Denoising(pose="turned"), "turned", knob),)
        knobs = (
            ("flow matching", Denoising(levels="logit-normal-time"), "levels and weights of flow matching"),
            (
                "aligned coupling",
                Denoising(coupling="aligned", reflections=True),
                "molecules turned towards their noise",
            ),
            ("modulated", Denoising(conditioning="modulation"), "the level modulates every block"),
        )
        variants += tuple(with_objective(variants[0], objective, plus, knob) for plus, objective, knob in knobs)
    train = TrainConfig(
        steps=100_000 if full else 2500,
        batch_size=96 if full else 64,
        learning_rate=5e-3,
        weight_decay=0.0,
        warmup_steps=1000 if full else 50,
        ema_decay=0.999 if full else 0.99,
        eval_every=5000 if full else 500,
        checkpoint_every=1000 if full else 250,
        optimizer="muon",
    )
    options = {"max_atoms": 29, "num_samples": 10_000, "num_val": 500} if full else {}
    measures = ("samples", "generator-symmetry", "figure-controls")
    return StudyDesign(
        "qm9-gen", variants, train, task_options=options, setting="full" if full else "quick", measures=measures
    )


def molecule_ladder(base: RapidashConfig) -> tuple[Variant, ...]:
    """Molecules have no handedness that a study of them asks for, so E(3) is the root.

    Args:
        base: width, depth and grid of all of them.
    """
    diffusion = Denoising()
    oriented = replace(base, symmetry="E(3)", space="R3xS2")
    free = replace(base, symmetry="T(3)", space="R3")
    chiral = replace(oriented, symmetry="SE(3)")
    root = Variant("E(3) on R3xS2", oriented, objective=diffusion)

    def changed(name: str, model: RapidashConfig, neighbor: str, knob: str, **rest: object) -> Variant:
        options: dict[str, object] = {"objective": diffusion, **rest}
        return Variant(name, model, neighbor=neighbor, knob=knob, **options)  # type: ignore[arg-type]

    hand = changed("SE(3) on R3xS2", chiral, root.name, "left and right may differ")
    plain = changed(
        "E(3) on R3", replace(oriented, space="R3"), root.name, "no orientations: kernels see distances only"
    )
    loose = changed("T(3) on R3", free, plain.name, "kernels and inputs see all components")
    turned = changed(
        "T(3) on R3 + rotations",
        free,
        loose.name,
        "training molecules turned by random elements of SO(3)",
        methods=(Augment("SO(3)"),),
    )
    posed = changed(
        "T(3) on R3, one pose",
        free,
        loose.name,
        "molecules in the pose of their principal axes, samples turned at random",
        objective=Denoising(pose="canonical"),
    )
    framed = changed(
        "E(3) on R3xS2 + global frame", oriented, root.name, "a constant frame as input", inputs=("global frame",)
    )
    return root, hand, plain, loose, turned, posed, framed
