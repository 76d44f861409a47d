"""Names of things: imported when asked for, found by their class, and errors that name the nearest."""

import sys
from dataclasses import dataclass
from typing import ClassVar

import pytest

from rapidash._plain import from_plain, to_plain
from rapidash._registry import Registry
from rapidash.methods import Augment, Average, Method
from rapidash.models import EGNNConfig, RapidashConfig
from rapidash.registry import METHODS, NETWORKS, REGISTRIES, TASKS


def test_a_place_is_imported_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    things = Registry("things", "thing", {"color": "colorsys:rgb_to_hsv"})
    assert list(things) == ["color"]
    assert "colorsys" not in sys.modules
    assert things.get("color")(1.0, 0.0, 0.0) == (0.0, 1.0, 1.0)
    assert things.name_of(things.get("color")) == "color"


def test_unknown_and_taken_names_are_errors() -> None:
    things: Registry[object] = Registry("things", "thing", {"cube": 1, "ball": 2})
    with pytest.raises(ValueError, match="unknown thing 'bal', expected one of 'cube', 'ball'; did you mean 'ball'"):
        things.get("bal")
    with pytest.raises(ValueError, match="thing 'cube' is registered already: choose another name"):
        things.register("cube")(3)
    assert things.register("cone")(4) == things.get("cone") == 4
    assert things.get("nothing", None) is None
    with pytest.raises(ValueError, match=r"object is not registered as a thing: .*THINGS\.register.*rapidash\.things"):
        things.name_of(object)


def test_a_name_that_is_taken_is_left_out_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    found = [EntryPoint(name, f"m:{place}", "g") for name, place in (("cube", "a"), ("cone", "b"), ("cone", "c"))]
    monkeypatch.setattr("rapidash._registry.entry_points", lambda group: found)
    things: Registry[object] = Registry("things", "thing", {"cube": 1})
    with pytest.warns(UserWarning, match=r"the thing 'co?u?[nb]e' of another package is left out") as said:
        assert list(things) == ["cube", "cone"]
    assert len(said) == 2
    assert things.get("cube") == 1
    assert things._entry_points()["cone"].value == "m:b"


@pytest.mark.parametrize("group", REGISTRIES)
def test_everything_that_ships_can_be_imported(group: str) -> None:
    registry = REGISTRIES[group]
    found = [registry.get(name) for name in registry.own_names()]
    assert all(map(callable, found))
    assert len(set(found)) == len(found) > 0  # no name leads to what another one is for


def test_a_configuration_carries_its_kind() -> None:
    for config, kind in ((RapidashConfig(), "rapidash"), (EGNNConfig(), "EGNN")):
        assert (config.kind, to_plain(config)["kind"]) == (kind, kind)
        assert from_plain(type(config).__mro__[-3], to_plain(config)) == config
    assert to_plain(Augment("SO(3)")) == {"kind": "augment", "group": "SO(3)"}
    assert from_plain(Method, {"kind": "average", "group": "O(3)", "num": 2}) == Average("O(3)", 2)
    with pytest.raises(ValueError, match="a method needs its 'kind', one of 'augment', 'average', 'ace'"):
        from_plain(Method, {"group": "SO(3)"})
    with pytest.raises(ValueError, match=r"unknown method 'augmnt', expected .*; did you mean 'augment'"):
        from_plain(Method, {"kind": "augmnt", "group": "SO(3)"})
    with pytest.raises(ValueError, match="unknown Augment field 'grup', expected one of 'group'; did you mean 'group'"):
        from_plain(Method, {"kind": "augment", "grup": "SO(3)"})


def test_a_class_that_is_not_registered_has_no_plain_form() -> None:
    @dataclass(frozen=True)
    class Unnamed(Method):
        value: ClassVar[int] = 1

    with pytest.raises(ValueError, match=r"Unnamed is not registered as a method: give it a name"):
        to_plain(Unnamed())


def test_names_of_the_library_are_of_its_kinds() -> None:
    assert {"nbody", "cmu", "md", "qm9", "shapes"} <= set(TASKS)
    assert list(NETWORKS.own_names()) == [
        "rapidash",
        "EGNN",
        "DGCNN",
        "mlp",
        "image-gcnn",
        "signal-gcnn",
        "scale-stream",
        "multi-stream",
        "ordered-mlp",
        "rendered-cnn",
        "transformer",
        "message-passing",
        "PaiNN",
        "SchNet",
        "graph-network",
        "equitabpfn",
        "fixed-head-pfn",
        "vae",
        "lie-vae",
        "shared-weights",
        "site-columns",
        "site-encoder",
        "two-stage-encoder",
    ]
    assert METHODS.get("augment") is Augment
