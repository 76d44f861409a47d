"""The study of graphs: which orders of the nodes let a plain network see what message passing cannot?"""

from rapidash.methods import Augment, Method, Variant
from rapidash.models import GraphNetworkConfig, MLPConfig, NetworkConfig
from rapidash.study._design import StudyDesign
from rapidash.symmetrize import CanonicalOrder, HaarOrder, LaplacianFrames, ProbabilisticOrder
from rapidash.train import TrainConfig

NODES = 12
GROUP = f"S({NODES})"


def make_design(full: bool) -> StudyDesign:
    """Nine variants on regular graphs, connected or not, which message passing cannot tell apart.

    Quick: 600 training graphs and 500 steps. Full: 2,000 graphs, 2,000 steps, five seeds.
    """
    model = MLPConfig(hidden_dim=128, num_layers=2)
    plain = "MLP"

    def variant(
        name: str, knob: str, *methods: Method, network: NetworkConfig = model, neighbor: str = plain
    ) -> Variant:
        return Variant(name, network, methods=methods, neighbor=neighbor, knob=knob)

    probabilistic, canonical = "MLP, probabilistic order", "MLP, canonical order"
    variants = (
        Variant(plain, model),
        variant("MLP + permutations", "nodes in another order at every step", Augment(GROUP)),
        variant("message passing", "a network that treats all nodes alike", network=GraphNetworkConfig(32, 4)),
        variant("MLP, random orders", "averaged over random orders", HaarOrder(GROUP)),
        variant(
            "MLP, Laplacian frames", "averaged over orders by eigenvectors, ties at random", LaplacianFrames(GROUP)
        ),
        variant(canonical, "sorted by learned scores, one order", CanonicalOrder(GROUP)),
        variant(
            "MLP, canonical order, averaged",
            "ties broken anew in as many orders",
            CanonicalOrder(GROUP, 8, 16),
            neighbor=canonical,
        ),
        variant(
            probabilistic,
            "noise for each node",
            ProbabilisticOrder(GROUP),
            neighbor="MLP, canonical order, averaged",
        ),
        variant(
            "MLP, probabilistic order, no entropy",
            "no entropy penalty",
            ProbabilisticOrder(GROUP, entropy_weight=0.0),
            neighbor=probabilistic,
        ),
    )
    train = TrainConfig(
        steps=2000 if full else 500,
        batch_size=50,
        learning_rate=3e-3,
        weight_decay=1e-4,
        warmup_steps=50,
        ema_decay=0.98,
        eval_every=400 if full else 100,
        checkpoint_every=400 if full else 250,
    )
    return StudyDesign(
        "graphs",
        variants,
        train,
        seeds=tuple(range(5 if full else 3)),
        task_options={"num_nodes": NODES, "num_train": 2000 if full else 600},
        setting="full" if full else "quick",
        measures=("graph-separation",),
    )
