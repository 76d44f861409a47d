from pathlib import Path

import numpy as np
import pytest

from rapidash.datasets._acclaim import read_amc, read_asf
from rapidash.datasets._reading import DataError

ASF = """# a leg and a rigid arm
:version 1.10
:units
  mass 1.0
  length 0.45
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name thigh
     direction 0 -1 0
     length 2
     axis 0 0 0   XYZ
     dof rx ry rz
     limits (-160.0 20.0)
            (-70.0 70.0)
            (-60.0 70.0)
  end
  begin
     id 2
     name shin
     direction 0 -1 0
     length 3
     axis 0 90 0   XYZ
     dof rx
  end
  begin
     id 3
     name arm
     direction 1 0 0
     length 1
     axis 0 0 0   XYZ
  end
:hierarchy
  begin
    root thigh arm
    thigh shin
  end
"""
AMC = """#!OML:ASF toy
:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
thigh 0 0 0
shin 0
2
root 0 0 0 0 0 90
thigh 90 0 0
shin 90
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "09.asf").write_text(ASF)
    (tmp_path / "09_01.amc").write_text(AMC.replace("\n", "\r\n"))
    return tmp_path / "09.asf", tmp_path / "09_01.amc"


def test_positions_by_hand(files: tuple[Path, Path]) -> None:
    skeleton = read_asf(files[0])
    assert skeleton.order == ("root", "thigh", "shin", "arm")
    assert skeleton.edges.tolist() == [[1, 0], [2, 1], [3, 0]]
    pos = read_amc(files[1], skeleton)
    assert pos[0].tolist() == [[1, 2, 3], [1, 0, 3], [1, -3, 3], [2, 2, 3]]
    # Frame 2: the body turned by 90 degrees about z. The thigh, swung about x, points to -z in the body's frame; the
    # shin's own x axis is -z there before the swing (the frame is turned by 90 degrees about y).
    thigh = [0, 0, -2]
    shin_direction = [1, 0, 0]  # -y turned by +90 degrees about -z is -x; then swung about x with the thigh: still -x
    body = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    expected = [[0, 0, 0], thigh, thigh + 3 * body @ -np.array(shin_direction), [0, 1, 0]]
    np.testing.assert_allclose(pos[1], expected, atol=1e-12)


def test_bones_keep_their_length(files: tuple[Path, Path]) -> None:
    skeleton = read_asf(files[0])
    rng = np.random.default_rng(0)
    frames = "".join(
        f"{k}\nroot {' '.join(map(str, rng.normal(size=6) * 40))}\n"
        f"thigh {' '.join(map(str, rng.normal(size=3) * 40))}\nshin {rng.normal() * 40}\n"
        for k in range(1, 20)
    )
    files[1].write_text(frames)
    pos = read_amc(files[1], skeleton)
    lengths = np.linalg.norm(pos[:, skeleton.edges[:, 0]] - pos[:, skeleton.edges[:, 1]], axis=-1)
    np.testing.assert_allclose(lengths, np.broadcast_to([2.0, 3.0, 1.0], (19, 3)), rtol=1e-12)


def test_radians_are_read(files: tuple[Path, Path]) -> None:
    skeleton = read_asf(files[0])
    degrees = read_amc(files[1], skeleton)
    files[1].write_text(AMC.replace(":DEGREES", ":RADIANS").replace("90", str(np.pi / 2)))
    np.testing.assert_allclose(read_amc(files[1], skeleton), degrees, atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shin 90\n", "", "line 10: frame 2 has no bone 'shin'.*cut short"),
        ("thigh 90 0 0", "thigh 90 0", "line 10: bone 'thigh' has 2 values, expected 3"),
        ("shin 0\n", "tail 0\n", "line 7: bone 'tail' is not in the skeleton"),
        ("shin 0\n", "shin x\n", "line 7: 'shin x' is not a bone with numbers"),
        (AMC, "", "has no frame"),
    ],
)
def test_bad_motions_name_the_line(files: tuple[Path, Path], old: str, new: str, message: str) -> None:
    files[1].write_text(AMC.replace(old, new))
    with pytest.raises(DataError, match=f"09_01.amc.*{message}"):
        read_amc(files[1], read_asf(files[0]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (ASF[ASF.index(":hierarchy") :], "", "no section ':hierarchy'"),
        ("     length 3\n", "", "line 29: the bone that ends here is incomplete"),
        ("thigh shin", "thigh foot", "bone 'foot' or its parent"),
        ("dof rx\n", "dof tx\n", "degrees of freedom"),
        ("direction 1 0 0", "direction 1 0", "line 37: the bone that ends here is incomplete"),
        ("order TX", "order QX", r"the order of ':root' has \['qx'\]"),
        ("orientation 0 0 0", "orientation 0 0", "':root' has no orientation of three angles"),
    ],
)
def test_bad_skeletons_name_the_place(files: tuple[Path, Path], old: str, new: str, message: str) -> None:
    files[0].write_text(ASF.replace(old, new))
    with pytest.raises(DataError, match=f"09.asf.*{message}"):
        read_asf(files[0])
