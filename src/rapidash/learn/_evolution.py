"""Evolution of the subgroups of layers: children by single relaxations, and survivors by error and parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rapidash.models import Untying

Layers = tuple[tuple[int, ...], ...]  # of every layer the elements that it keeps


class Score(NamedTuple):
    """The validation error of an individual, lower is better, and its parameters."""

    error: float
    parameters: int

    def dominates(self, other: "Score") -> bool:
        """Whether it is nowhere worse than another and somewhere better."""
        return self.error <= other.error and self.parameters <= other.parameters and self != other


@dataclass(frozen=True)
class Candidates:
    """The subgroups among which a search chooses.

    Args:
        orbits: of the network that is searched.
        names: of the subgroups, as they were given; two with the same orbits are one, the first.
        members: the elements that each keeps, the largest first.
    """

    orbits: Untying
    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]

    @property
    def finest(self) -> tuple[int, ...]:
        """The elements that all candidates keep, whose orbits divide those of each."""
        return self.orbits.kept(self.members)

    def name(self, members: Sequence[int]) -> str:
        """The name of a candidate; of other elements how many they are."""
        own = tuple(members)
        return self.names[self.members.index(own)] if own in self.members else f"{len(own)} elements"


def candidates(orbits: Untying, names: Sequence[str]) -> Candidates:
    """The candidates of these names, and the whole group if none of them is it.

    Raises: ValueError for what is no subgroup, or no proper one among them.
    """
    found: dict[tuple[int, ...], str] = {}
    for name in names:
        found.setdefault(orbits.members(name), str(name))
    if not set(found) - {orbits.everything}:
        raise ValueError(f"a search needs a proper subgroup of {orbits.group} to choose, got {list(names)}")
    found.setdefault(orbits.everything, orbits.whole)
    ordered = sorted(found, key=lambda members: (-len(members), members))
    return Candidates(orbits, tuple(found[members] for members in ordered), tuple(ordered))


def children(layers: Layers, among: Candidates) -> list[Layers]:
    """Every single relaxation of nested groups that leaves them nested, G_1 >= G_2 >= ..., in a fixed order.

    The last layer may take any smaller candidate; a layer before it the group of the one behind it.
    """
    last = set(layers[-1])
    made = [(*layers[:-1], smaller) for smaller in among.members if set(smaller) < last]
    earlier = [place for place in range(len(layers) - 1) if set(layers[place + 1]) < set(layers[place])]
    return made + [(*layers[:place], layers[place + 1], *layers[place + 1 :]) for place in reversed(earlier)]


def survivors(scores: Sequence[Score], population: int, kinds: Sequence[object]) -> list[int]:
    """The indices of the individuals that live on, best error first; of each kind, such as the groups, one at most.

    Those on the Pareto front of error and parameters live on; if they are more than ``population`` those with the least
    errors; if fewer, others with the least errors join them. Of equal errors the one with fewer parameters is better.
    """
    by_score = sorted(range(len(scores)), key=lambda index: (scores[index], index))
    order = list({kinds[index]: index for index in reversed(by_score)}.values())[::-1]
    order.sort(key=by_score.index)
    front = [index for index in order if not any(scores[other].dominates(scores[index]) for other in order)]
    rest = [index for index in order if index not in front]
    return sorted((front + rest)[:population], key=order.index)
