"""Whole networks."""

from rapidash.models._baseline import Baseline
from rapidash.models._baseline_config import BaselineConfig, DGCNNConfig, EGNNConfig
from rapidash.models._config import RapidashConfig
from rapidash.models._dgcnn import DGCNN
from rapidash.models._egnn import EGNN
from rapidash.models._fiber_network import FiberNetwork
from rapidash.models._graph_network import GraphNetwork, GraphNetworkConfig, PairsGraphNetwork
from rapidash.models._image_gcnn import ImageGCNN, ImageGCNNConfig, SignalGCNN, SignalGCNNConfig
from rapidash.models._kernel_error import KernelError, choose_table_size, kernel_error
from rapidash.models._message_passing import MessagePassing, MessagePassingConfig
from rapidash.models._mlp import MLPConfig
from rapidash.models._network import (
    Interface,
    Network,
    NetworkConfig,
    RapidashOutput,
    Takes,
    TensorOutput,
    cloud_network,
)
from rapidash.models._ordered_mlp import OrderedMLP, OrderedMLPConfig
from rapidash.models._painn import PaiNN, PaiNNConfig
from rapidash.models._point_network import PointNetwork
from rapidash.models._rapidash import Rapidash
from rapidash.models._rendered_cnn import RenderedCNN, RenderedCNNConfig
from rapidash.models._schnet import SchNet, SchNetConfig
from rapidash.models._self_check import ENTRY as ANSWERS
from rapidash.models._self_check import answers, check_answers
from rapidash.models._stress import Stressed, forces_and_stress
from rapidash.models._subgroups import (
    Untying,
    common_subgroup,
    keep_subgroups,
    layer_members,
    layer_places,
    tie,
    untie,
    untying,
)
from rapidash.models._transformer import Transformer, TransformerConfig

__all__ = [
    "ANSWERS",
    "DGCNN",
    "EGNN",
    "Baseline",
    "BaselineConfig",
    "DGCNNConfig",
    "EGNNConfig",
    "FiberNetwork",
    "GraphNetwork",
    "GraphNetworkConfig",
    "ImageGCNN",
    "ImageGCNNConfig",
    "Interface",
    "KernelError",
    "MLPConfig",
    "MessagePassing",
    "MessagePassingConfig",
    "Network",
    "NetworkConfig",
    "OrderedMLP",
    "OrderedMLPConfig",
    "PaiNN",
    "PaiNNConfig",
    "PairsGraphNetwork",
    "PointNetwork",
    "Rapidash",
    "RapidashConfig",
    "RapidashOutput",
    "RenderedCNN",
    "RenderedCNNConfig",
    "SchNet",
    "SchNetConfig",
    "SignalGCNN",
    "SignalGCNNConfig",
    "Stressed",
    "Takes",
    "TensorOutput",
    "Transformer",
    "TransformerConfig",
    "Untying",
    "answers",
    "check_answers",
    "choose_table_size",
    "cloud_network",
    "common_subgroup",
    "forces_and_stress",
    "keep_subgroups",
    "kernel_error",
    "layer_members",
    "layer_places",
    "tie",
    "untie",
    "untying",
]
