"""The network of a configuration, whatever its kind."""

from rapidash.models._baseline import Baseline
from rapidash.models._baseline_config import BaselineConfig
from rapidash.models._config import RapidashConfig
from rapidash.models._dgcnn import DGCNN
from rapidash.models._egnn import EGNN
from rapidash.models._rapidash import Rapidash

NetworkConfig = RapidashConfig | BaselineConfig
_BASELINES: dict[str, type[Baseline]] = {"EGNN": EGNN, "DGCNN": DGCNN}


def build_backbone(config: NetworkConfig) -> Rapidash | Baseline:
    """A network with fresh weights; all take (pos, batch, scalars=, vectors=, pairs=) and give `RapidashOutput`.

    Raises: ValueError for values that are not allowed; ImportError for a baseline whose library is missing.
    """
    if isinstance(config, BaselineConfig):
        return _BASELINES[config.kind](config)
    return Rapidash.from_config(config)
