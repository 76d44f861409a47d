"""Groups of motions by their names."""

import re
from difflib import get_close_matches

from rapidash.groups._group import AXES, O2, SE, SO, SO2, E, Group, O, T, trivial
from rapidash.groups._named_finite import finite_group


def parse_group(symmetry: str | Group, dim: int | None = None) -> Group:
    """Read a group from its name: ``T(3)``, ``E(3)``, ``SE(3)``, ``SO(3)``, ``O(3)``, ``SO2(z)``, ``SO2(0,1,1)``.

    Finite ones are ``C4``, ``D4`` (of the plane), ``C4(x)``, ``octahedral``, ``full octahedral``, ``Ih``.

    Args:
        symmetry: a name, or a group.
        dim: dimension that it must have; None: the one in its name, 3 for those without one.
    Raises: ValueError for an unknown name (with the nearest valid one) or another dimension than ``dim``.
    """
    if dim is None:
        if isinstance(symmetry, Group):
            return symmetry
        in_the_plane = re.fullmatch(r"(T|E|SE|SO|O)\(2\)|[CD]\(?\d+\)?(withT\(2\))?", symmetry.replace(" ", ""))
        return parse_group(symmetry, 2 if in_the_plane else 3)
    if isinstance(symmetry, Group):
        if symmetry.dim != dim:
            raise ValueError(f"symmetry {symmetry} acts on R^{symmetry.dim}, but dim={dim}")
        return symmetry
    text = symmetry.replace(" ", "")
    makers = {f"{key}({d})": (maker, d) for key, maker in _MAKERS.items() for d in (2, 3)}
    if text in makers:
        maker, d = makers[text]
        return parse_group(maker(d), dim)
    if text == "trivial":
        return trivial(dim)
    if (finite := _finite_group(symmetry, dim)) is not None:
        return parse_group(finite, dim)
    if found := re.fullmatch(r"(.+),translationsacross(.+)only", text):
        whole = parse_group(found[1], dim)
        return Group(dim, whole.linear, False, AXES.get(found[2]) or _numbers(found[2], symmetry))
    if found := re.fullmatch(r"(S?O2)\([(\[]?([^()\[\]]+)[)\]]?\)(abouttheorigin)?", text):
        axis = found[2] if found[2] in AXES else _numbers(found[2], symmetry)
        group = (O2 if found[1] == "O2" else SO2)(axis)
        return parse_group(group.without_translations() if found[3] else group, dim)
    known = [name for name, (_, d) in makers.items() if d == dim] + (["SO2(z)"] if dim == 3 else [])
    examples = ["C4(z)", "D4", "octahedral", "full octahedral"] if dim == 3 else ["C4", "D4"]
    by_letters = {name.upper(): name for name in (*known, *examples)}
    near = get_close_matches(text.upper(), by_letters, n=1, cutoff=0.4)
    hint = f"; did you mean {by_letters[near[0]]!r}?" if near else ""
    others = ", ".join(examples)
    raise ValueError(
        f"unknown symmetry {symmetry!r}, expected one of {', '.join(known)}, or a finite group such as {others}{hint}"
    )


def _finite_group(name: str, dim: int) -> Group | None:
    about_the_origin = name.strip().removesuffix(f" with T({dim})")
    found = finite_group(about_the_origin, dim)
    return found if found is None or about_the_origin == name.strip() else Group(dim, found.linear)


def _numbers(text: str, symmetry: str) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in text.split(","))
    except ValueError:
        raise ValueError(f"symmetry {symmetry!r}: the axis must be x, y, z or three numbers, got {text!r}") from None


_MAKERS = {"T": T, "E": E, "SE": SE, "SO": SO, "O": O}
