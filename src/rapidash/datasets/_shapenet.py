"""ShapeNet as folders of points: SYNSET/train, val and test with an npy file for each shape."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from rapidash._names import unknown_name
from rapidash._seed import seeded
from rapidash.datasets._locate import locate
from rapidash.datasets._nbody import Split
from rapidash.datasets._reading import Array, DataError, OnError, ReadDataset, SampleErrors, check_split, readable
from rapidash.datasets._shapes import ShapeCollector

_OBTAIN = (
    "Get ShapeNetCore.v2.PC15k.zip of PointFlow (github.com/stevenygd/PointFlow), 15,000 surface points of each shape, "
    "and unpack it."
)
SHAPENET_SYNSETS = {  # of the classes of ShapeNetCore, in the order of their folders
    "airplane": "02691156",
    "trash bin": "02747177",
    "bag": "02773838",
    "basket": "02801938",
    "bathtub": "02808440",
    "bed": "02818832",
    "bench": "02828884",
    "birdhouse": "02843684",
    "bookshelf": "02871439",
    "bottle": "02876657",
    "bowl": "02880940",
    "bus": "02924116",
    "cabinet": "02933112",
    "camera": "02942699",
    "can": "02946921",
    "cap": "02954340",
    "car": "02958343",
    "cellphone": "02992529",
    "chair": "03001627",
    "clock": "03046257",
    "keyboard": "03085013",
    "dishwasher": "03207941",
    "monitor": "03211117",
    "earphone": "03261776",
    "faucet": "03325088",
    "file": "03337140",
    "guitar": "03467517",
    "helmet": "03513137",
    "jar": "03593526",
    "knife": "03624134",
    "lamp": "03636649",
    "laptop": "03642806",
    "speaker": "03691459",
    "mailbox": "03710193",
    "microphone": "03759954",
    "microwave": "03761084",
    "motorcycle": "03790512",
    "mug": "03797390",
    "piano": "03928116",
    "pillow": "03938244",
    "pistol": "03948459",
    "pot": "03991062",
    "printer": "04004475",
    "remote control": "04074963",
    "rifle": "04090263",
    "rocket": "04099429",
    "skateboard": "04225987",
    "sofa": "04256520",
    "stove": "04330267",
    "table": "04379243",
    "telephone": "04401088",
    "tower": "04460130",
    "train": "04468005",
    "vessel": "04530566",
    "washer": "04554684",
}


def shapenet_dataset(
    split: Split,
    *,
    classes: Sequence[str] = ("chair",),
    num_points: int | None = 2048,
    normalize: bool = True,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """Shapes of ShapeNet as in the release of PointFlow: ``SYNSET/train/*.npy``, ``val`` and ``test``, (P, 3) points.

    Shapes are aligned, up is y. The points of each are drawn without replacement, the same in every run.

    Fields: pos (position), label (scalar, (B,), int64: the place in ``classes``).
    Info: "class_names".
    Args:
        split: "train", "val" or "test": the folder.
        classes: names as in `SHAPENET_SYNSETS`, or of folders, such as "03001627".
        num_points: of each cloud; None for all.
        normalize: center at the mean of the points kept, largest radius 1.
        data_dir: folder; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad shapes out, counted and reported.
        dtype: of the floating-point fields.
    Raises: FileNotFoundError for a class without a folder of the split; DataError for a damaged file, or too few
        points; ValueError for an unknown class, or none.
    Source: Chang et al., "ShapeNet", arXiv 1512.03012; Yang et al., "PointFlow", ICCV 2019 (the files).
    """
    check_split(split)
    if not classes:
        raise ValueError("classes is empty: name at least one, such as 'chair'")
    folders = {name: _folder(name, split, data_dir) for name in classes}
    source = next(iter(folders.values())).parents[1]
    shapes = ShapeCollector(
        source, SampleErrors(source, on_error), [*folders], num_points=num_points, normalize=normalize
    )
    for label, folder in enumerate(folders.values()):
        for path in sorted(folder.glob("*.npy")):
            entry = "/".join(path.parts[-3:])
            try:
                pos = _points(path, num_points)
            except DataError as error:
                shapes.reject(entry, str(error))
            else:
                shapes.add(entry, pos, label)
    return shapes.dataset(dtype)


def _folder(name: str, split: Split, data_dir: str | Path | None) -> Path:
    synset = SHAPENET_SYNSETS.get(name, name)
    if not (len(synset) == 8 and synset.isdigit()):
        raise ValueError(unknown_name("class of ShapeNet:", name, SHAPENET_SYNSETS))
    wanted = f"class {name!r} of ShapeNet"
    return locate((f"{synset}/{split}/*.npy",), dataset=wanted, obtain=_OBTAIN, data_dir=data_dir)[1].parent


def _points(path: Path, num_points: int | None) -> Array:
    """Some of the points of a file, of which no more is read; all where there are too few. Raises: DataError."""
    with readable(path):
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise DataError(f"{path} has {array.dtype} of the shape {array.shape}, expected numbers (points, 3)")
    if num_points is not None and num_points < len(array):
        array = array[torch.randperm(len(array), generator=seeded("shapenet", path.stem))[:num_points].numpy()]
    return np.array(array, dtype=np.float64)
