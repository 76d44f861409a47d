"""The study of latents on images: does it help that the latent of a glyph turns as a regular representation?"""

from rapidash.methods import Augment, Variant
from rapidash.models import MLPConfig
from rapidash.relax import LatentEquivariance
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

WEIGHT = 0.5


def make_design(full: bool) -> StudyDesign:
    """Six variants on pairs of glyphs, C4 x C4, with few training images and labels that do not change.

    Quick: 600 steps, three seeds. Full: 1,500 steps, five seeds.
    """
    model = MLPConfig(hidden_dim=64, num_layers=1)
    plain = "plain"

    def variant(name: str, knob: str, *methods: Augment | LatentEquivariance, neighbor: str = plain) -> Variant:
        return Variant(name, model, methods=methods, neighbor=neighbor, knob=knob)

    regular = LatentEquivariance(WEIGHT)
    variants = (
        Variant(plain, model),
        variant("turns", "every glyph turned anew in every step", Augment("C4 x C4")),
        variant("invariant latent", "the trivial action on the latent", LatentEquivariance(WEIGHT, action="trivial")),
        variant("regular latent", "four copies of the regular representation on the latent", regular),
        variant(
            "regular latent, not divided",
            "the error is not divided by the variance",
            LatentEquivariance(WEIGHT, normalize=False),
            neighbor="regular latent",
        ),
        variant(
            "turns and regular latent",
            "the regular action on the latent as well",
            Augment("C4 x C4"),
            regular,
            neighbor="turns",
        ),
    )
    train = TrainConfig(
        steps=1500 if full else 600,
        batch_size=50,
        learning_rate=3e-3,
        weight_decay=1e-3,
        warmup_steps=50,
        ema_decay=0.98,
        eval_every=150 if full else 100,
        checkpoint_every=300,
    )
    seeds = (0, 1, 2, 3, 4) if full else (0, 1, 2)
    setting = "full" if full else "quick"
    options = {"noise": 1.0}
    measures = ("latent-error",)
    return StudyDesign("glyphs", variants, train, seeds, task_options=options, setting=setting, measures=measures)
