from pathlib import Path

import pytest
import torch

from rapidash.datasets import NBODY_HORIZON, NBODY_SIZES, _nbody, nbody_dataset, simulate_charged_particles
from rapidash.groups import Position, Scalar, Vector


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_fields_declare_how_they_transform_and_their_units(cache_dir: Path) -> None:
    data = nbody_dataset("val", size=4, cache_dir=cache_dir)
    assert len(data) == 4
    assert data.num_points.tolist() == [5, 5, 5, 5]
    assert {name: tuple(tensor.shape) for name, tensor in data.tensors.items()} == {
        "pos": (20, 3),
        "vel": (20, 3),
        "charge": (20, 1),
        "target": (20, 3),
    }
    assert {tensor.dtype for tensor in data.tensors.values()} == {torch.float32}
    kinds = {name: (field.representation, field.unit) for name, field in data.fields.items()}
    assert kinds == {
        "pos": (Position(), "length"),
        "vel": (Vector(), "length/time"),
        "charge": (Scalar(), "charge"),
        "target": (Position(), "length"),
    }
    assert set(data.tensors["charge"].flatten().tolist()) == {-1.0, 1.0}


def test_input_and_target_are_the_states_after_steps_3100_and_4100(cache_dir: Path) -> None:
    data = nbody_dataset("train", size=2, seed=5, cache_dir=cache_dir, dtype=torch.float64)
    state = [torch.stack(parts) for parts in zip(*(_nbody._initial_state(5, "train", index) for index in range(2)))]
    pos, vel = simulate_charged_particles(*state, num_steps=5000, sample_every=100)
    assert torch.equal(data.tensors["pos"], pos[:, 30].flatten(0, 1))
    assert torch.equal(data.tensors["vel"], vel[:, 30].flatten(0, 1))
    assert torch.equal(data.tensors["target"], pos[:, 40].flatten(0, 1))
    exact, _ = simulate_charged_particles(*state, num_steps=3100, sample_every=3100)
    assert torch.equal(data.tensors["pos"], exact[:, 0].flatten(0, 1))


def test_a_uniform_field_acts_from_the_input_frame_on(cache_dir: Path) -> None:
    """1000 steps of .001: every target lies g dt^2 n (n + 1) / 2 = .3 * .5005 lower, and inputs are as without it."""
    plain, pulled = (
        nbody_dataset("train", size=6, uniform_field=g, cache_dir=cache_dir, dtype=torch.float64) for g in (0.0, 0.3)
    )
    for name in ("pos", "vel", "charge"):
        assert torch.equal(plain.tensors[name], pulled.tensors[name])
    moved = pulled.tensors["target"] - plain.tensors["target"]
    expected = torch.tensor([0.0, 0.0, -0.3 * 0.5005], dtype=torch.float64).expand_as(moved)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-8)
    with pytest.raises(ValueError, match="uniform_field must be finite, got nan"):
        nbody_dataset("train", size=6, uniform_field=float("nan"), cache_dir=cache_dir)


def test_a_sample_depends_on_seed_split_and_index_only(cache_dir: Path) -> None:
    def positions(split: str, size: int, seed: int) -> torch.Tensor:
        return nbody_dataset(split, size=size, seed=seed, cache_dir=cache_dir).tensors["pos"]

    base = positions("train", 3, 0)
    assert torch.equal(positions("train", 9, 0)[:15], base)
    assert torch.equal(nbody_dataset("train", size=3, cache_dir=cache_dir / "other").tensors["pos"], base)
    assert not torch.isclose(positions("test", 3, 0), base).any()
    assert not torch.isclose(positions("train", 3, 1), base).any()


def test_initial_states_have_the_distribution_of_the_benchmark() -> None:
    pos, vel, charge = (torch.stack(parts) for parts in zip(*(_nbody._initial_state(0, "t", k) for k in range(2000))))
    torch.testing.assert_close(vel.norm(dim=-1), torch.full((2000, 5), 0.5, dtype=torch.float64))
    assert vel.mean(dim=(0, 1)).abs().max() < 4 * 0.5 / (3 * 10000) ** 0.5
    assert pos.mean(dim=(0, 1)).abs().max() < 4 / 10000**0.5
    assert (pos.std(dim=(0, 1)) - 1).abs().max() < 4 / 20000**0.5
    assert charge.abs().unique().tolist() == [1.0]
    assert abs(charge.mean()) < 4 / 10000**0.5


def test_start_positions_outside_the_box_are_mirrored_at_its_wall() -> None:
    pos = torch.tensor([[5.5, -6.0, 0.0], [5.0, -5.0, 4.9]])
    vel = torch.tensor([[0.3, -0.4, 0.1], [0.3, -0.4, 0.1]])
    inside, inward = _nbody._reflect_into_box(pos, vel)
    torch.testing.assert_close(inside, torch.tensor([[4.5, -4.0, 0.0], [5.0, -5.0, 4.9]]))
    assert torch.equal(inward, torch.tensor([[-0.3, 0.4, 0.1], [0.3, -0.4, 0.1]]))
    _, still_inward = _nbody._reflect_into_box(pos, inward)
    assert torch.equal(still_inward[0], inward[0])


def test_constant_velocity_has_the_error_known_in_the_field(cache_dir: Path) -> None:
    data = nbody_dataset("test", cache_dir=cache_dir)
    assert len(data) == NBODY_SIZES["test"] == 2000
    pos, vel, target = (data.tensors[name] for name in ("pos", "vel", "target"))
    error = (pos + NBODY_HORIZON * vel - target).square().mean().item()
    assert error == pytest.approx(0.11, abs=0.015)
    assert (pos - target).square().mean().item() > 2 * error  # staying in place is worse: velocities point the way


def test_the_second_call_reads_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDASH_CACHE", str(tmp_path / "here"))
    first = nbody_dataset("val", size=2)
    assert [path.suffix for path in (tmp_path / "here").iterdir()] == [".safetensors"]

    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("simulated again")

    monkeypatch.setattr(_nbody, "simulate_charged_particles", fail)
    again = nbody_dataset("val", size=2)
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in first.tensors.items())
    with pytest.raises(AssertionError, match="simulated again"):
        nbody_dataset("val", size=2, seed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"split": "valid"}, r"unknown split 'valid', expected one of \('train', 'val', 'test'\)"), ({"size": 0}, "size")],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        nbody_dataset(**{"split": "val", "cache_dir": tmp_path, **arguments})
