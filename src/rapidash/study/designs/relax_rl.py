"""The study of agents: networks that keep a symmetry of the world, nearly keep it, prefer it, or know nothing of it."""

from rapidash.methods import Augment, Objective, Variant
from rapidash.models import MLPConfig
from rapidash.relax.rl import ActorCritic, FittedQ, RelaxedNetworks, ResidualNetworks, SharedNetworks
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Quick: fitted Q-learning on a grid whose moves are reversed in one quadrant, from 40 and from 600 transitions.

    Full: soft actor-critic on a pendulum with a constant torque, 20,000 steps of the pendulum. With
    ``--task_options.dynamics exact`` and ``--task_options.constant 0`` the symmetries are exact.
    """
    if full:
        train = TrainConfig(
            steps=19_000,
            batch_size=64,
            learning_rate=1e-3,
            weight_decay=0.0,
            warmup_steps=100,
            grad_clip=0.0,
            ema_decay=0.0,
            eval_every=1900,
            checkpoint_every=950,
        )
        variants = _variants("C2(x)", ActorCritic(first_steps=1000))
        options = {"constant": 1.0}
        return StudyDesign("pendulum", variants, train, seeds=(0, 1, 2, 3, 4), task_options=options, setting="full")
    train = TrainConfig(
        steps=1200,
        batch_size=64,
        learning_rate=3e-3,
        weight_decay=0.0,
        warmup_steps=20,
        ema_decay=0.0,
        eval_every=200,
        checkpoint_every=400,
    )
    variants = _variants("C4", FittedQ())
    relaxed = variants[3]
    slow = Variant(
        f"{relaxed.name}, slow",
        relaxed.model,
        methods=(RelaxedNetworks("C4", lr=train.learning_rate),),
        objective=relaxed.objective,
        neighbor=relaxed.name,
        knob="the weights of the banks learn at the rate of the networks",
    )
    shares = (0.1, 0.0067)  # of 6000 transitions, drawn by each seed for itself
    return StudyDesign("grid-world", (*variants, slow), train, fractions=shares, task_options={"dynamics": "reflected"})


def _variants(group: str, objective: Objective) -> tuple[Variant, ...]:
    """Free and strict networks, and what lies between."""
    model = MLPConfig(hidden_dim=64)
    strict, relaxed = f"{group} strict", f"{group} relaxed"
    return (
        Variant("free", model, objective=objective),
        Variant(
            "free + augmentation",
            model,
            methods=(Augment(group),),
            objective=objective,
            neighbor="free",
            knob="transitions randomly moved by the group",
        ),
        Variant(
            strict,
            model,
            methods=(SharedNetworks(group),),
            objective=objective,
            neighbor="free",
            knob="networks equivariant by construction",
        ),
        Variant(
            relaxed,
            model,
            methods=(RelaxedNetworks(group),),
            objective=objective,
            neighbor=strict,
            knob="four banks with weights that may differ between elements",
        ),
        Variant(
            f"{group} residual",
            model,
            methods=(ResidualNetworks(group),),
            objective=objective,
            neighbor=strict,
            knob="a free network beside it, with a prior that prefers the strict one",
        ),
    )
