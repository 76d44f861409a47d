"""The arms of the studies of pooled sites, and their training: shared by all three."""

from rapidash.methods import Variant
from rapidash.represent.pooling import (
    CombatColumns,
    LargestSite,
    MatchedPairs,
    SiteAdversary,
    SiteColumnsConfig,
    SiteDiscrepancy,
    SiteEncoderConfig,
    TwoStage,
    TwoStageEncoderConfig,
)
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

WEIGHT = 40.0  # of the discrepancy: chosen on synthetic tables of the data seeds 100 and 101
WEIGHT_OF_MANY_BINS = 10.0  # chosen there too: with 20 and few rows in a bin nothing is learned
BINS = 4  # of the covariate


def arms() -> tuple[Variant, ...]:
    """Columns as they are, of one site and corrected by ComBat; encoders without and with a word on the site."""
    columns, encoder, plain = SiteColumnsConfig(), SiteEncoderConfig(), SiteDiscrepancy()
    return (
        Variant("columns, one site", columns, methods=(LargestSite(),), objective=plain),
        Variant("columns", columns, objective=plain, neighbor="columns, one site", knob="all sites are pooled"),
        Variant(
            "columns, ComBat",
            columns,
            methods=(CombatColumns(),),
            objective=plain,
            neighbor="columns",
            knob="location and scale of each site are removed from the columns",
        ),
        Variant("encoder", encoder, objective=plain, neighbor="columns", knob="an encoder in place of the columns"),
        Variant(
            "adversary",
            encoder,
            objective=SiteAdversary(),
            neighbor="encoder",
            knob="an adversary guesses the site",
        ),
        Variant(
            "random matching",
            encoder,
            objective=MatchedPairs(bins=BINS),
            neighbor="encoder",
            knob="pairs of sites, alike in label and covariate, are drawn to each other",
        ),
        Variant(
            "discrepancy",
            encoder,
            objective=SiteDiscrepancy(weight=WEIGHT),
            neighbor="encoder",
            knob=f"the discrepancy of sites has the weight {WEIGHT:g}",
        ),
        Variant(
            "discrepancy, 10 bins",
            encoder,
            objective=SiteDiscrepancy(weight=WEIGHT_OF_MANY_BINS, bins=10),
            neighbor="discrepancy, 4 bins",
            knob=f"10 bins, and the weight {WEIGHT_OF_MANY_BINS:g}: subsampling",
        ),
        Variant(
            "discrepancy, 4 bins",
            encoder,
            objective=SiteDiscrepancy(weight=WEIGHT, bins=BINS),
            neighbor="discrepancy",
            knob="the discrepancy is taken within 4 bins of the covariate",
        ),
        Variant(
            "two stages",
            TwoStageEncoderConfig(),
            objective=TwoStage(weight=WEIGHT, bins=BINS, first_share=0.3),
            neighbor="discrepancy, 4 bins",
            knob="the representation is equivariant to the covariate first",
        ),
    )


def training(steps: int, batch_size: int, weight_decay: float = 0.01) -> TrainConfig:
    """One validation, after the last step: of weights that are chosen by their error, the least invariant would win."""
    return TrainConfig(
        steps=steps,
        batch_size=batch_size,
        learning_rate=4e-3,
        weight_decay=weight_decay,
        warmup_steps=50,
        ema_decay=0.0,
        eval_every=steps,
        checkpoint_every=max(1, steps // 4),
    )


def held_out_design(table: str, *, groups: int, full: bool) -> StudyDesign:
    """A study of a table whose sites, in groups, are held out in turn.

    Quick: 300 steps, three seeds. Full: 1,000 steps, ten seeds.
    """
    return StudyDesign(
        "pooled-sites",
        arms(),
        training(1000 if full else 300, batch_size=256, weight_decay=0.1),
        seeds=tuple(range(10)) if full else (0, 1, 2),
        task_options={"table": table},
        setting="full" if full else "quick",
        measures=("pooling",),
        factors={"task.held_out": tuple(range(groups))},
    )
