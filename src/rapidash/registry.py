"""Everything that has a name in a configuration or on the command line, by kind, and how others add to it.

A package adds a method, say, by an entry point of the group ``rapidash.methods`` in its ``pyproject.toml``::

    [project.entry-points."rapidash.methods"]
    my-method = "my_package.my_method:MyMethod"

It is then found wherever the package is installed, in every process of a study too. A module that is imported anyway
may call ``METHODS.register("my-method")`` instead.
"""

from typing import Any

from rapidash._registry import PluginError, Registry

__all__ = [
    "DESIGNS",
    "LAUNCHERS",
    "MEASURES",
    "METHODS",
    "NETWORKS",
    "OBJECTIVES",
    "REGISTRIES",
    "SCHEDULES",
    "SECTIONS",
    "TASKS",
    "PluginError",
    "Registry",
]

_TASK_CLASSES = {
    "nbody": "NBodyTask",
    "cmu": "CmuTask",
    "md": "MdTask",
    "qm9": "Qm9Task",
    "solids": "SolidsTask",
    "shapes": "ShapesTask",
    "modelnet10": "ModelNet10Task",
    "modelnet40": "ModelNet40Task",
    "scanobjectnn": "ScanObjectNNTask",
    "shapenet-part": "ShapeNetPartTask",
    "meshseg": "MeshsegTask",
    "mnist-sp": "MnistSpTask",
    "tables": "TablesTask",
    "glyphs": "GlyphsTask",
    "graphs": "GraphsTask",
    "ala2-gen": "Ala2GenTask",
    "qm9-gen": "Qm9GenTask",
    "shapes-gen": "ShapesGenTask",
    "toy-gen": "ToyGenTask",
    "planted": "PlantedTask",
}
_STUDIES = (  # of methods and papers, on tasks that have studies of their own
    "augerino",
    "augerino-images",
    "effective-invariance",
    "invariants",
    "invariants-digits",
    "invariants-streams",
    "learn-symmetry",
    "lie-derivative",
    "lie-vae",
    "modelnet10-poses",
    "nbody-methods",
    "planted-modelnet10",
    "planted-shapes",
    "pooling",
    "pooling-abide",
    "pooling-heart",
    "qm9-b3lyp",
    "relax-cmu",
    "relax-latent",
    "relax-latent-actions",
    "relax-latent-clouds",
    "relax-nbody",
    "relax-nbody-field",
    "relax-rl",
    "rmd17",
    "scaling",
    "scaling-field",
    "sie",
    "sie-images",
    "sie-labels",
    "sie-modelnet10",
    "subgroups",
    "subgroups-nbody",
    "sharing",
    "symmetrize-modelnet10",
    "symmetrize-nbody",
    "tabular",
    "transfer",
)


def _module(name: str) -> str:
    return name.replace("-", "_")


NETWORKS: Registry[Any] = Registry(
    "networks",
    "network",
    {
        "rapidash": "rapidash.models:RapidashConfig",
        "EGNN": "rapidash.models:EGNNConfig",
        "DGCNN": "rapidash.models:DGCNNConfig",
        "mlp": "rapidash.models:MLPConfig",
        "image-gcnn": "rapidash.models:ImageGCNNConfig",
        "signal-gcnn": "rapidash.models:SignalGCNNConfig",
        "scale-stream": "rapidash.symmetrize:ScaleStreamConfig",
        "multi-stream": "rapidash.symmetrize:MultiStreamConfig",
        "ordered-mlp": "rapidash.models:OrderedMLPConfig",
        "rendered-cnn": "rapidash.models:RenderedCNNConfig",
        "transformer": "rapidash.models:TransformerConfig",
        "message-passing": "rapidash.models:MessagePassingConfig",
        "PaiNN": "rapidash.models:PaiNNConfig",
        "SchNet": "rapidash.models:SchNetConfig",
        "graph-network": "rapidash.models:GraphNetworkConfig",
        "equitabpfn": "rapidash.symmetrize.tabular:EquiTabPFNConfig",
        "fixed-head-pfn": "rapidash.symmetrize.tabular:FixedHeadPFNConfig",
        "vae": "rapidash.learn:VAEConfig",
        "lie-vae": "rapidash.learn:CommutativeLieGroupVAEConfig",
        "shared-weights": "rapidash.learn.sharing:SharedWeightsConfig",
        "site-columns": "rapidash.represent.pooling:SiteColumnsConfig",
        "site-encoder": "rapidash.represent.pooling:SiteEncoderConfig",
        "two-stage-encoder": "rapidash.represent.pooling:TwoStageEncoderConfig",
    },
)
TASKS: Registry[Any] = Registry(
    "tasks",
    "task",
    {
        **{name: f"rapidash.tasks.{_module(name)}:{made}" for name, made in _TASK_CLASSES.items()},
        "necklaces": "rapidash.tasks.necklaces:NecklacesTask",
        "own-clouds": "rapidash.tasks.own_clouds:OwnCloudsTask",
        "pooled-sites": "rapidash.tasks.pooled_sites:PooledSitesTask",
        "own-data": "rapidash.tasks.own_data:OwnDataTask",
        "planted-groups": "rapidash.tasks.planted_groups:PlantedGroupsTask",
        "template-clouds": "rapidash.tasks.template_clouds:TemplateCloudsTask",
        "partial-images": "rapidash.tasks.partial_images:PartialImagesTask",
        "partial-symmetry": "rapidash.tasks.partial_symmetry:PartialSymmetryTask",
        "rotated-digits": "rapidash.tasks.rotated_digits:RotatedDigitsTask",
        "half-turns": "rapidash.tasks.half_turns:HalfTurnsTask",
        "shape-images": "rapidash.tasks.shape_images:ShapeImagesTask",
        "grid-world": "rapidash.relax.rl:GridWorldTask",
        "pendulum": "rapidash.relax.rl:PendulumTask",
        "synthetic-tables": "rapidash.symmetrize.tabular:SyntheticTablesTask",
        "planted-sharing": "rapidash.learn.sharing:PlantedSharingTask",
    },
)
METHODS: Registry[Any] = Registry(
    "methods",
    "method",
    {
        "augment": "rapidash.methods:Augment",
        "average": "rapidash.methods:Average",
        "ace": "rapidash.relax:ACE",
        "constraint-relaxation": "rapidash.relax:ConstraintRelaxation",
        "projection-penalty": "rapidash.relax:ProjectionPenalty",
        "rpp": "rapidash.relax:ResidualPathwayPrior",
        "remul": "rapidash.relax:REMUL",
        "latent-equivariance": "rapidash.relax:LatentEquivariance",
        "learned-latent-action": "rapidash.relax:LearnedLatentAction",
        "relaxed-conv": "rapidash.relax:RelaxedFiberConv",
        "subgroup-evolution": "rapidash.learn:SubgroupEvolution",
        "subgroup-mixing": "rapidash.learn:SubgroupMixing",
        "invariant-integration": "rapidash.symmetrize:IntegrateInvariants",
        "group-averaging": "rapidash.symmetrize:GroupAveraging",
        "frames": "rapidash.symmetrize:FrameAveraging",
        "canonical": "rapidash.symmetrize:Canonicalization",
        "probabilistic": "rapidash.symmetrize:ProbabilisticSymmetrization",
        "shared-networks": "rapidash.relax.rl:SharedNetworks",
        "relaxed-networks": "rapidash.relax.rl:RelaxedNetworks",
        "residual-networks": "rapidash.relax.rl:ResidualNetworks",
        "haar-order": "rapidash.symmetrize:HaarOrder",
        "laplacian-frames": "rapidash.symmetrize:LaplacianFrames",
        "canonical-order": "rapidash.symmetrize:CanonicalOrder",
        "probabilistic-order": "rapidash.symmetrize:ProbabilisticOrder",
        "augerino": "rapidash.learn:Augerino",
        "group-histogram": "rapidash.learn:LearnedHistogram",
        "combat": "rapidash.represent.pooling:CombatColumns",
        "largest-site": "rapidash.represent.pooling:LargestSite",
    },
)
SCHEDULES: Registry[Any] = Registry(
    "schedules",
    "schedule",
    {
        "triangle": "rapidash.relax:Triangle",
        "decay": "rapidash.relax:Decay",
        "constant": "rapidash.relax:Constant",
    },
)
OBJECTIVES: Registry[Any] = Registry(
    "objectives",
    "objective",
    {
        "supervised": "rapidash.methods:Supervised",
        "fitted-q": "rapidash.relax.rl:FittedQ",
        "actor-critic": "rapidash.relax.rl:ActorCritic",
        "denoising": "rapidash.generate:Denoising",
        "prior-fitting": "rapidash.symmetrize.tabular:PriorFitting",
        "variational-bound": "rapidash.learn:VariationalBound",
        "sie": "rapidash.represent:SplitInvariantEquivariant",
        "untrained": "rapidash.represent:Untrained",
        "bilevel": "rapidash.learn.sharing:Bilevel",
        "site-discrepancy": "rapidash.represent.pooling:SiteDiscrepancy",
        "site-adversary": "rapidash.represent.pooling:SiteAdversary",
        "matched-pairs": "rapidash.represent.pooling:MatchedPairs",
        "two-stage": "rapidash.represent.pooling:TwoStage",
        "contrastive": "rapidash.represent:ContrastivePretraining",
        "contrastive-concatenated": "rapidash.represent:ConcatenatedPretraining",
    },
)
MEASURES: Registry[Any] = Registry(
    "measures",
    "measure",
    {
        "constant-error": "rapidash.study.measures.constant_error:constant_error",
        "effective-invariance": "rapidash.study.measures.effective_invariance:effective_invariance",
        "figure-controls": "rapidash.generate:measure_figure_controls",
        "generator-symmetry": "rapidash.generate:measure_generator_symmetry",
        "likelihood": "rapidash.generate:measure_likelihood",
        "graph-separation": "rapidash.study.measures.graph_separation:graph_separation",
        "latent-error": "rapidash.relax:measure_latent",
        "latent-factors": "rapidash.learn:measure_factors",
        "lie-derivative": "rapidash.study.measures.lie_derivative:lie_derivative_sizes",
        "motion-spread": "rapidash.study.measures.motion_spread:motion_spread",
        "planted-sayings": "rapidash.study.measures.planted:planted_sayings",
        "pooling": "rapidash.represent.pooling:measure_pooling",
        "representation": "rapidash.represent:measure_representation",
        "relabelling": "rapidash.symmetrize.tabular:measure_relabelling",
        "samples": "rapidash.generate:measure_samples",
        "sharing": "rapidash.learn.sharing:measure_sharing",
        "split-distance": "rapidash.study.measures.split_distance:split_distance",
        "training-operations": "rapidash.study.measures.training_operations:training_operations",
        "training-seconds": "rapidash.study.measures.training_seconds:training_seconds",
        "transfer": "rapidash.represent:measure_transfer",
    },
)
DESIGNS: Registry[Any] = Registry(
    "designs",
    "study",
    {name: f"rapidash.study.designs.{_module(name)}:make_design" for name in (*_TASK_CLASSES, *_STUDIES)},
)
LAUNCHERS: Registry[Any] = Registry(
    "launchers",
    "launcher",
    {
        "local": "rapidash.study._study:launch_local",
        "ray": "rapidash.study._cluster:launch_ray",
        "slurm": "rapidash.study._cluster:launch_slurm",
    },
)
SECTIONS: Registry[Any] = Registry(
    "sections",
    "report section",
    {
        "symmetry-cost": "rapidash.report._cost_section:cost_section",
        "relaxed": "rapidash.report._relaxed_section:relaxed_section",
        "lie-vae": "rapidash.report._lie_vae_section:lie_vae_section",
        "lie-derivatives": "rapidash.report._lie_sections:derivative_section",
        "lie-derivatives-of-layers": "rapidash.report._lie_sections:layer_section",
        "effective-invariance": "rapidash.report._invariance_section:invariance_section",
        "relabelling": "rapidash.report._relabelling_section:relabelling_section",
        "planted": "rapidash.report._planted_section:planted_section",
        "pooling": "rapidash.report._pooling_section:pooling_section",
        "subgroups": "rapidash.report._subgroups_section:subgroups_section",
        "representation": "rapidash.report._representation_section:representation_section",
        "samples": "rapidash.report._samples_section:samples_section",
        "scaling": "rapidash.report._scaling_section:scaling_section",
        "learning-curves": "rapidash.report._learning_section:learning_section",
        "published-values": "rapidash.report._published_section:published_section",
        "figure-controls": "rapidash.report._generator_sections:controls_section",
        "generator-symmetry": "rapidash.report._generator_sections:generator_symmetry_section",
        "sharing": "rapidash.report._sharing_section:sharing_section",
        "split-distance": "rapidash.report._split_section:split_section",
        "transfer": "rapidash.report._transfer_section:transfer_section",
        "tolerated-motions": "rapidash.report._tolerance_section:tolerance_section",
        "learned-widths": "rapidash.report._learned_section:learned_section",
    },
)
REGISTRIES = {
    registry.group: registry
    for registry in (NETWORKS, TASKS, METHODS, SCHEDULES, OBJECTIVES, MEASURES, DESIGNS, LAUNCHERS, SECTIONS)
}
