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


ONE_BONE = """:root
order TX TY TZ RZ RY RX
axis XYZ
position 0 0 0
orientation 0 0 0
:bonedata
begin
id 1
name arm
direction 1 0 0
length 2
axis 0 0 0 XYZ
dof rx
end
:hierarchy
begin
root arm
end
"""
ONE_FRAME = ":DEGREES\n1\nroot 0 0 0 90 90 0\narm 0\n"


def end_of_the_arm(folder: Path, asf: str = ONE_BONE, amc: str = ONE_FRAME) -> list[float]:
    (folder / "a.asf").write_text(asf, encoding="utf-8")
    (folder / "a.amc").write_text(amc, encoding="utf-8")
    pos: list[float] = read_amc(folder / "a.amc", read_asf(folder / "a.asf"))[0, 1].round(12).tolist()
    return pos


@pytest.mark.parametrize(
    ("order", "expected"),
    [  # The bone is 2 along x. Turned by 90 degrees about z it is 2 along y, about y it is 2 along -z.
        ("RZ RY RX", [0, 2, 0]),  # about z, and then about y, which leaves it
        ("RY RZ RX", [0, 0, -2]),  # about y, and then about z, which leaves it
        ("RX RZ RY", [0, 0, -2]),  # by 0 about z: the second number is that of z; then by 0 about y
        ("RX RY RZ", [0, 0, -2]),
    ],
)
def test_the_order_of_the_rotations_of_the_root_is_obeyed(tmp_path: Path, order: str, expected: list[float]) -> None:
    numbers = {"RZ RY RX": "90 90 0", "RY RZ RX": "90 90 0", "RX RZ RY": "0 0 90", "RX RY RZ": "0 90 0"}[order]
    asf, amc = ONE_BONE.replace("RZ RY RX", order), ONE_FRAME.replace("90 90 0", numbers)
    assert end_of_the_arm(tmp_path, asf, amc) == expected


def test_numbers_of_the_root_are_told_by_their_names(tmp_path: Path) -> None:
    asf = ONE_BONE.replace("TX TY TZ RZ RY RX", "RZ TZ TX")
    assert end_of_the_arm(tmp_path, asf, ONE_FRAME.replace("0 0 0 90 90 0", "90 5 7")) == [7, 2, 5]


def test_the_position_of_the_root_is_where_it_begins(tmp_path: Path) -> None:
    asf = ONE_BONE.replace("position 0 0 0", "Position 10 20 30")
    assert end_of_the_arm(tmp_path, asf, ONE_FRAME.replace("root 0 0 0", "root 1 2 3")) == [11, 24, 33]


def test_angles_in_radians_are_obeyed_in_the_skeleton_and_where_the_motion_says_nothing(tmp_path: Path) -> None:
    asf = ":units\nangle rad\n" + ONE_BONE.replace("axis 0 0 0 XYZ", f"axis 0 0 {np.pi / 2!r} XYZ")
    # The bone's own x axis is y: turned by 90 degrees about it, from x to -z.
    amc = ONE_FRAME.replace("90 90 0", "0 0 0").replace("arm 0", "arm 90")
    assert end_of_the_arm(tmp_path, asf, amc) == [0, 0, -2]
    assert end_of_the_arm(tmp_path, asf, amc.replace(":DEGREES\n", "").replace("90", repr(np.pi / 2))) == [0, 0, -2]


def test_letters_of_other_alphabets_end_no_line(tmp_path: Path) -> None:
    asf = ONE_BONE.replace(":bonedata", "# \u0445 9 9 9\n:bonedata")
    assert end_of_the_arm(tmp_path, asf, "# \u2028 root\n" + ONE_FRAME) == [0, 2, 0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("orientation 0 0 0", "orientation 0 0 90", r"a\.asf: ':root' begins with the orientation .*not read"),
        ("position 0 0 0", "position 0 0 inf", r"a\.asf: ':root' has no .*position \(.*not finite"),
        ("position 0 0 0", "position 0 0", r"a\.asf: ':root' has no .*position"),
        ("RZ RY RX", "RZ RZ RX", r"a\.asf: the order of ':root' names a number twice"),
        ("axis 0 0 0 XYZ", "axis 0 0 0 XXZ", r"a\.asf, line 14: .*axis 'XXZ', expected an order of X, Y, Z"),
        ("dof rx", "dof rz rx", r"a\.asf, line 14: degrees of freedom rz rx, expected rx, ry, rz only, in this order"),
        ("dof rx", "dof rx rx", r"a\.asf, line 14: degrees of freedom rx rx"),
        ("root arm", "root arm\narm arm", r"a\.asf, line 18: bone 'arm' has a parent already"),
        ("root arm", "arm arm", r"a\.asf, line 17: bone 'arm' or its parent 'arm' is not defined"),
        (
            "end\n:h",
            "end\nbegin\nname arm\ndirection 1 0 0\nlength 2\naxis 0 0 0 XYZ\nend\n:h",
            "'arm' is defined twice",
        ),
        ("length 2", "length 1e308\ndirection 9 0 0", "the bone that ends here is incomplete .*not finite"),
        (":root", ":units\nangle gon\n:root", r"a\.asf: the unit of angles is 'gon', expected one of deg, rad"),
        (":root", ":units\nlength 0\n:root", r"a\.asf: the unit of length is '0', expected a number above 0"),
    ],
)
def test_what_a_skeleton_says_and_is_not_read_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        end_of_the_arm(tmp_path, asf=ONE_BONE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":DEGREES", ":SAMPLES-PER-SECOND 60", r"a\.amc, line 1: 60 frames per second, expected 120"),
        ("arm 0\n", "arm 0\n3\nroot 0 0 0 0 0 0\narm 0\n", r"a\.amc, line 5: frame 3, expected 2: one is left out"),
        ("arm 0", "arm 0,5", r"a\.amc, line 4: 'arm 0,5' is not a bone with numbers"),
        ("arm 0", "arm 1e999", r"a\.amc, line 4: 'arm 1e999' is not a bone with numbers"),
    ],
)
def test_what_a_motion_says_and_is_not_read_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert end_of_the_arm(tmp_path, amc=ONE_FRAME.replace(":DEGREES", ":SAMPLES-PER-SECOND 120")) == [0, 2, 0]
    with pytest.raises(DataError, match=message):
        end_of_the_arm(tmp_path, amc=ONE_FRAME.replace(old, new, 1))
