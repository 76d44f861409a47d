"""Whole networks."""

from rapidash.models._baseline import Baseline
from rapidash.models._baseline_config import BaselineConfig, DGCNNConfig, EGNNConfig
from rapidash.models._config import RapidashConfig
from rapidash.models._dgcnn import DGCNN
from rapidash.models._egnn import EGNN
from rapidash.models._graph_network import GraphNetwork, GraphNetworkConfig, PairsGraphNetwork
from rapidash.models._kernel_error import KernelError, choose_table_size, kernel_error
from rapidash.models._mlp import MLPConfig
from rapidash.models._network import Interface, Network, NetworkConfig, RapidashOutput, Takes, cloud_network
from rapidash.models._rapidash import Rapidash

__all__ = [
    "DGCNN",
    "EGNN",
    "Baseline",
    "BaselineConfig",
    "DGCNNConfig",
    "EGNNConfig",
    "GraphNetwork",
    "GraphNetworkConfig",
    "Interface",
    "KernelError",
    "MLPConfig",
    "Network",
    "NetworkConfig",
    "PairsGraphNetwork",
    "Rapidash",
    "RapidashConfig",
    "RapidashOutput",
    "Takes",
    "choose_table_size",
    "cloud_network",
    "kernel_error",
]
