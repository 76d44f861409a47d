"""What a ledger claims exactly is measured in every run, before and after training, and a false claim is found out."""

import math
from dataclasses import replace

import pytest
import torch
from toy_plugin import ToyTask, make_design

import rapidash.study._views as views_module
from rapidash.groups import E, T, parse_group
from rapidash.methods import Variant
from rapidash.models import RapidashConfig
from rapidash.report import terminal_table
from rapidash.study import Store, run_one, study_of, summarize
from rapidash.study._claims import _parts, claim_errors, measure_symmetry, refuted, worst_errors
from rapidash.symmetry import GeometricInput, global_frame, symmetry_ledger
from rapidash.tasks.nbody import NBodyNetwork, NBodyTask


def claim(monkeypatch: pytest.MonkeyPatch, symmetry: str) -> None:
    """Let every toy model claim a symmetry, whatever it is."""
    monkeypatch.setattr(ToyTask, "ledger", lambda self, variant: symmetry_ledger(parse_group(symmetry, 3)))


class Doubling(torch.nn.Module):
    """f(x) = 2 x as positions: keeps what fixes the origin, and moves by t too much under a translation by t."""

    def forward(self, batch):
        return 2 * batch.pos


class Noisy(torch.nn.Module):
    """Draws random numbers, as a random start of a subsampling does."""

    def forward(self, batch):
        return batch.pos + torch.randn(3, dtype=batch.pos.dtype)


def test_a_false_claim_of_all_motions_is_found_out(tmp_path, run, monkeypatch) -> None:
    claim(monkeypatch, "E(3)")
    false, true = (run_one(run(kind), tmp_path) for kind in ("components", "equivariant"))
    assert false["exact_symmetry"]["group"] == true["exact_symmetry"]["group"] == "E(3)"
    for moment in ("before", "after"):
        assert set(false["exact_symmetry"][moment]) == {"rotations", "reflections", "translations"}
        assert min(false["exact_symmetry"][moment].values()) > 1e-2
        assert max(true["exact_symmetry"][moment].values()) < 1e-14
    assert set(refuted(claim_errors(false))) == {"rotations", "reflections", "translations"}
    assert refuted(claim_errors(true)) == {}


def test_a_false_claim_of_translations_is_found_out(tmp_path, run, monkeypatch) -> None:
    claim(monkeypatch, "T(3)")
    record = run_one(run("components"), tmp_path)
    measured = record["equivariance_translations"]
    assert measured["group"] == "T(3)"
    assert set(refuted(claim_errors(record))) == {"translations"}
    for moment in ("before", "after"):
        assert record["exact_symmetry"][moment] == {"translations": measured[moment]["max"]}
        assert measured[moment]["max"] >= measured[moment]["mean"] > 1e-2


def test_a_model_that_gives_nan_under_motions_is_a_failed_run_that_says_so(tmp_path, run, monkeypatch) -> None:
    class Fragile(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner, self.seen = inner, None

        def forward(self, batch):
            out = self.inner(batch)
            self.seen = batch.pos if self.seen is None else self.seen  # every other pose is too much
            is_moved = self.seen.shape == batch.pos.shape and not torch.equal(self.seen, batch.pos)
            return out * math.nan if is_moved and not self.training else out

    build = ToyTask.build
    monkeypatch.setattr(ToyTask, "build", lambda self, variant: Fragile(build(self, variant)))
    record = run_one(run(), tmp_path)
    assert record["status"] == "failed"
    assert record["error"].strip().endswith("output 'output' is not finite: check the input before measuring symmetry")
    assert Store(tmp_path).load(record["key"]) == record


def test_the_table_flags_a_false_claim_and_no_other(tmp_path, monkeypatch) -> None:
    claim(monkeypatch, "E(3)")
    text = terminal_table(summarize(study_of(run_one(config, tmp_path) for config in make_design().runs())))
    errors, _, _ = text.partition("minus neighbor")
    lines = {line.split("  ")[0]: line for line in errors.splitlines()}
    assert "E(3) (not kept)" in lines["B components"]
    assert "E(3)" in lines["A equivariant"]
    assert "(not kept)" not in lines["A equivariant"]
    said = " ".join(text.split())
    assert "Read with care: components claims E(3) to rounding, and has not" in said
    assert "Read with care: equivariant" not in said


def test_the_error_under_translations_by_hand() -> None:
    """||f(x + t) - t - f(x)|| = ||t|| at each of n points, over the root mean square of ||2 x||."""
    task = ToyTask()
    data, ledger = task.dataset("val"), symmetry_ledger(E(3))
    found = measure_symmetry(Doubling(), task, data, ledger)
    batch = data.batch(torch.arange(len(data)))
    pos, sizes = batch.pos.double(), torch.bincount(batch.batch).double()
    scale = math.sqrt(float((2 * pos).square().sum()) / len(sizes))
    shifts = _parts(ledger, float(pos.std(correction=0)))["translations"][:, :3, 3]
    expected = shifts.norm(dim=1) * math.sqrt(float(sizes.mean())) / scale
    assert found["equivariance_translations"]["mean"] == pytest.approx(float(expected.mean()), rel=1e-12)
    assert found["exact_symmetry"]["translations"] == pytest.approx(float(expected.max()), rel=1e-12)
    assert found["exact_symmetry"]["rotations"] < 1e-15
    assert found["exact_symmetry"]["reflections"] < 1e-15
    assert float(pos.std(correction=0)) / 2 < float(shifts.norm(dim=1).mean()) < 4 * float(pos.std(correction=0))


def test_what_nobody_claims_is_not_measured() -> None:
    task = ToyTask()
    nothing = symmetry_ledger(E(3), [GeometricInput("coordinates", "position", "scalars")])
    assert set(measure_symmetry(Doubling(), task, task.dataset("val"), nothing)) == {
        "equivariance",
        "equivariance_reflections",
    }
    about_the_origin = symmetry_ledger(parse_group("SO(3)", 3))
    found = measure_symmetry(Doubling(), task, task.dataset("val"), about_the_origin)
    assert "equivariance_translations" not in found
    assert set(found["exact_symmetry"]) == {"group", "rotations"}


def test_the_translations_of_a_plane_are_measured_in_it() -> None:
    ledger = symmetry_ledger(E(3), [GeometricInput("height", "height", "scalars", ((0.0, 0.0, 1.0),))])
    shifts = _parts(ledger, 1.0)["translations"][:, :3, 3]
    assert shifts[:, 2].abs().max() < 1e-12
    assert shifts[:, :2].abs().min() > 0


@pytest.mark.filterwarnings("ignore:two evaluations of output:RuntimeWarning")  # said of Noisy, as it must be
@pytest.mark.parametrize("model", [Doubling(), Noisy()], ids=["doubling", "noisy"])
def test_random_streams_and_mode_stay_as_they_were(model) -> None:
    task = ToyTask()
    model.train()
    state = torch.get_rng_state()
    measure_symmetry(model, task, task.dataset("val"), symmetry_ledger(E(3)))
    assert torch.equal(state, torch.get_rng_state())
    assert model.training


def test_measuring_changes_no_digit_of_the_results(tmp_path, run, monkeypatch) -> None:
    measured = run_one(run(), tmp_path / "measured")
    monkeypatch.setattr(views_module, "measure_symmetry", lambda *_: {})
    plain = run_one(run(), tmp_path / "plain")
    assert "equivariance" not in plain
    for key in ("test_error", "test_error_rotated", "val_error", "best_step"):
        assert measured[key] == plain[key]
    rows = [[row["train_loss"] for row in record["history"]] for record in (measured, plain)]
    assert rows[0] == rows[1]


def test_the_exact_part_of_a_grid_is_measured() -> None:
    model = RapidashConfig(
        symmetry="E(3)", space="R3xS2", grid="platonic", num_orientations=12, channels=8, num_layers=1
    )
    task = NBodyTask(num_train=4, num_val=4, num_test=4)
    torch.manual_seed(0)
    for inputs, order in (((), 120), (("global frame",), 1)):
        variant = Variant("grid", model, inputs)
        ledger = task.ledger(variant)
        assert ledger.exact is (order == 1)  # T(3) needs no grid
        network = NBodyNetwork(variant).double()
        found = measure_symmetry(network, task, task.dataset("val"), ledger)["exact_symmetry"]
        assert (found.pop("group") == "T(3)") is (order == 1)
        assert ("rotations" in found) is (order > 1)
        assert 0 < max(found.values()) < 1e-13
    broken = replace(variant, inputs=())  # orientations that are a little off form no grid of a solid
    network = NBodyNetwork(broken).double()
    grid = network.backbone.grid
    network.backbone.grid = torch.nn.functional.normalize(grid + 1e-3 * torch.randn_like(grid))
    found = measure_symmetry(network, task, task.dataset("val"), task.ledger(broken))["exact_symmetry"]
    assert found["rotations"] > 1e-6
    assert found["translations"] < 1e-13


def test_the_exact_part_of_a_ledger_is_what_the_inputs_leave_of_it() -> None:
    torch.manual_seed(0)
    exact = NBodyNetwork(
        Variant(
            "grid", RapidashConfig(symmetry="E(3)", space="R3xS2", grid="platonic", num_orientations=12, channels=8)
        )
    ).backbone.exact_symmetry
    whole = symmetry_ledger(E(3), exact=exact)
    assert whole.claimed_exactly == exact
    assert symmetry_ledger(E(3), [global_frame(3)], exact=exact).claimed_exactly == T(3)
    assert symmetry_ledger(E(3)).claimed_exactly == E(3)
    tilted = symmetry_ledger(E(3), [GeometricInput("g", "constant", "vectors", ((0.3, 0.5, 0.7),))], exact=exact)
    kept = tilted.claimed_exactly
    assert kept is not None
    assert kept.translations
    assert kept.is_subgroup(tilted.effective)
    assert kept.is_subgroup(exact)


def test_of_several_seeds_the_worst_counts_and_earlier_records_say_what_they_can() -> None:
    def record(error: float) -> dict:
        moments = {"before": {"rotations": error, "translations": None}, "after": {"rotations": 1e-15}}
        return {"symmetry": {"exact": True, "effective": "E(3)"}, "exact_symmetry": {"group": "E(3)", **moments}}

    assert worst_errors([record(1e-15), record(0.2)]) == {"rotations": {"before": 0.2, "after": 1e-15}}
    assert refuted(worst_errors([record(1e-15), record(9e-7)])) == {}
    assert set(refuted(worst_errors([record(1e-15), record(2e-6)]))) == {"rotations"}
    earlier = {"equivariance": {"group": "SO(3)", "before": {"mean": 0.17}, "after": {"mean": 0.053}}}
    assert claim_errors(earlier | {"symmetry": {"exact": True, "effective": "E(3)"}}) == {
        "rotations": {"before": 0.17, "after": 0.053}
    }
    assert claim_errors(earlier | {"symmetry": {"exact": False, "effective": "E(3)"}}) == {}
    assert claim_errors(earlier | {"symmetry": {"exact": True, "effective": "T(3)"}}) == {}
