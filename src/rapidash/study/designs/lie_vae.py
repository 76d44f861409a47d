"""The study of learned commuting generators: do latents that move a learned group find the factors of images?"""

from rapidash.learn import CommutativeLieGroupVAEConfig, VAEConfig, VariationalBound
from rapidash.methods import Variant
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

HESSIAN, COMMUTATOR, FEATURE, FEATURE_PROBABILITY = 40.0, 40.0, 0.1, 0.2


def make_design(full: bool) -> StudyDesign:
    """A VAE, a beta-VAE, and autoencoders whose latents move a learned group, with and without its penalties, on
    squares and on hooks that are turned as well.

    Quick: 2,500 steps, three seeds. Full: 10,000 steps, five seeds.
    """
    steps = 10_000 if full else 2_500
    train = TrainConfig(
        steps=steps,
        batch_size=128,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.0,
        warmup_steps=50,
        grad_clip=10.0,
        ema_decay=0.0,
        eval_every=steps // 5,
        checkpoint_every=steps // 5,
    )

    def bound(beta: float = 1.0, hessian: float = 0.0, commutator: float = 0.0) -> VariationalBound:
        return VariationalBound(beta, hessian, commutator, FEATURE, FEATURE_PROBABILITY)

    plain, lie = VAEConfig(), CommutativeLieGroupVAEConfig()
    variants = (
        Variant("VAE", plain, objective=bound()),
        Variant(
            "beta-VAE",
            plain,
            objective=bound(beta=4.0),
            neighbor="VAE",
            knob="the divergence has the weight 4",
        ),
        Variant(
            "learned group",
            lie,
            objective=bound(),
            neighbor="VAE",
            knob="the decoder sees a group element of the code, without a penalty on its generators",
        ),
        Variant(
            "learned group, Hessian",
            lie,
            objective=bound(hessian=HESSIAN),
            neighbor="learned group",
            knob="the Hessian penalty has the weight 40",
        ),
        Variant(
            "learned group, commutator",
            lie,
            objective=bound(commutator=COMMUTATOR),
            neighbor="learned group",
            knob="the commutator penalty has the weight 40",
        ),
    )
    return StudyDesign(
        "shape-images",
        variants,
        train,
        seeds=(0, 1, 2, 3, 4) if full else (0, 1, 2),
        setting="full" if full else "quick",
        measures=("latent-factors",),
        factors={"task.shapes": ("squares", "hooks")},
    )
