"""Searches of subgroups: children and survivors, what a mixture is, and runs that find and keep what they should."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from rapidash._seed import seeded
from rapidash.data import RowBatch
from rapidash.groups import parse_group
from rapidash.learn import EquivarianceSearch, MixedGroupConv, SubgroupEvolution, SubgroupMixing, relax_to_subgroup
from rapidash.learn._evolution import Score, candidates, children, survivors
from rapidash.learn._held_out import chosen_samples, in_second_half
from rapidash.learn._mixed_layers import choose_subgroups, mixtures
from rapidash.learn._subgroup_evolution import searched_network
from rapidash.methods import Augment, Variant, build_model, in_view, view_ledger
from rapidash.models import ImageGCNNConfig, Interface, MLPConfig, RapidashConfig, layer_members, untying
from rapidash.nn import ImageGroupConv, ImageLifting, used_parameters
from rapidash.study import RunConfig, load_run, run_one
from rapidash.tasks import get_task
from rapidash.testing import check_method
from rapidash.train import TrainConfig

IMAGES = ImageGCNNConfig(symmetry="C4", channels=2, lifting_size=3, pool_after=(1, 2))
CLOUDS = RapidashConfig(grid="platonic", num_orientations=6, channels=4, num_layers=2, basis_dim=4, basis_hidden_dim=4)
HALF_TURNS = {"noise": 1.0, "num_train": 40, "num_val": 20, "num_test": 20}
PARTICLES = {"num_train": 12, "num_val": 12, "num_test": 8, "uniform_field": 0.3}


def among(symmetry: str, *names: str):
    return candidates(untying(replace(IMAGES, symmetry=symmetry).build(Interface(dim=0, in_scalars=1))), names)


def test_children_by_hand() -> None:
    """The last layer takes any smaller group, one before it that of the next; nothing grows with depth."""
    found = among("C4", "C2", "C1")
    c4, c2, c1 = (0, 1, 2, 3), (0, 2), (0,)
    assert found.names == ("C(4)", "C2", "C1")
    assert found.finest == c1
    assert children((c4, c4, c4), found) == [(c4, c4, c2), (c4, c4, c1)]
    assert children((c4, c4, c2), found) == [(c4, c4, c1), (c4, c2, c2)]
    assert children((c4, c2, c1), found) == [(c4, c1, c1), (c2, c2, c1)]
    assert children((c1, c1, c1), found) == []
    found = among("D4", "C4", "D1")
    mirror = found.members[found.names.index("D1")]
    assert len(found.finest) == 1
    assert children((found.members[0], mirror, mirror), found) == [(mirror, mirror, mirror)]


def test_survivors_by_hand() -> None:
    """A and C are the front; D is dominated by C, and B has the groups of A."""
    scores = [Score(0.1, 50), Score(0.2, 40), Score(0.3, 10), Score(0.3, 20)]
    kinds = ["a", "a", "c", "d"]
    assert survivors(scores, 1, kinds) == [0]
    assert survivors(scores, 2, kinds) == [0, 2]
    assert survivors(scores, 5, kinds) == [0, 2, 3]
    assert survivors([Score(0.1, 9), Score(0.2, 8), Score(0.3, 7)], 2, "abc") == [0, 1]
    assert survivors([Score(0.1, 50), Score(0.2, 60), Score(0.3, 10)], 2, "abc") == [0, 2]  # fewer parameters count


def test_an_evolution_on_functions_of_the_user() -> None:
    """Errors by a rule that wants C4, C1, C1: it is found, groups never grow with depth, the best error never rises."""
    network = IMAGES.build(Interface(dim=0, in_scalars=1, out_scalars=2)).double().eval()
    x = torch.randn(2, 1, 5, 5, generator=seeded(0), dtype=torch.float64)
    wanted, trained = [4, 1, 1], []

    def evaluate(model: nn.Module) -> float:
        assert float((model(x) - network(x)).detach().abs().max()) < 1e-12  # nothing was trained: weights are inherited
        return float(sum(len(kept) != size for kept, size in zip(layer_members(model), wanted)))

    result = EquivarianceSearch(network, ("C2", "C1")).evolve(trained.append, evaluate, generations=4, population=2)
    assert result.best.groups == ("C(4)", "C1", "C1")
    assert result.best.error == 0
    assert result.best.parameters == used_parameters(result.best.model)
    errors = [generation[0][1] for generation in result.history]
    assert errors == sorted(errors, reverse=True)
    sizes = {"C(4)": 4, "C2": 2, "C1": 1}
    for generation in result.history:
        for groups, _, _ in generation:
            assert [sizes[g] for g in groups] == sorted((sizes[g] for g in groups), reverse=True)
    assert len(trained) > 5


def test_a_search_with_nothing_to_choose_is_refused() -> None:
    network = IMAGES.build(Interface(dim=0, in_scalars=1))
    with pytest.raises(ValueError, match="proper subgroup"):
        EquivarianceSearch(network, ("C4",))
    with pytest.raises(ValueError, match="no subgroup of C"):
        EquivarianceSearch(network, ("D4",))
    with pytest.raises(ValueError, match="generations >= 0"):
        EquivarianceSearch(network, ("C2",)).evolve(lambda m: None, lambda m: 0.0, generations=-1)


@pytest.mark.parametrize("make", [ImageLifting, ImageGroupConv])
def test_a_mixture_of_one_is_that_group(make) -> None:
    """With all weight on a subgroup the layer is its relaxed layer; with equal weights it is the mean."""
    group, names = parse_group("D4", 2), ("D4", "D2", "C1")
    torch.manual_seed(0)
    conv = make(group, 2, 2).double()
    mixed = MixedGroupConv(conv, names, keeps_norm=False).double()
    shape = (2, 2, 5, 5) if mixed.lifts else (2, 2, 8, 5, 5)
    x = torch.randn(shape, generator=seeded(0), dtype=torch.float64)
    assert float((mixed(x) - conv(x)).detach().abs().max()) < 1e-12
    assert mixed.mixture.logits.tolist() == [0, -2, -2]
    mixed.draw()
    outputs = []
    for number, name in enumerate(names):
        alone = relax_to_subgroup(conv, name)
        with torch.no_grad():
            alone.tables.weight.copy_(mixed.tables.parts[number])
            mixed.mixture.logits.fill_(-1e9)[number] = 0.0
        outputs.append(mixed(x).detach())
        assert float((outputs[-1] - alone(x)).detach().abs().max()) < 1e-12
    with torch.no_grad():
        mixed.mixture.logits.zero_()
    assert float((mixed(x) - torch.stack(outputs).mean(0)).detach().abs().max()) < 1e-12
    doubled = MixedGroupConv(conv, names).double()
    with torch.no_grad():
        for part in doubled.tables.parts:
            part.mul_(2.0)
    assert float((doubled(x) - conv(x)).detach().abs().max()) < 1e-12  # norms are kept; the offset is 0


def test_the_chosen_group_has_the_mixed_weights_averaged_over_its_orbits() -> None:
    mixed = MixedGroupConv(ImageGroupConv(parse_group("C2", 2), 1, 1, kernel_size=1, use_bias=False), ("C2", "C1"))
    with torch.no_grad():
        mixed.tables.parts[0].copy_(torch.tensor([[2.0, 0.0]]).reshape(1, 1, 1, 2, 1, 1))
        mixed.tables.parts[1].copy_(torch.tensor([[6.0, 0.0], [2.0, 0.0]]).reshape(2, 1, 1, 2, 1, 1))
        mixed.mixture.logits.copy_(torch.tensor([1e-6, 0.0]))
    mixed.tables.keeps_norm = False
    before = used_parameters(mixed)
    choose_subgroups(mixed)
    assert mixed.tables.of_things().flatten().tolist() == pytest.approx([3.0, 0.0, 3.0, 0.0])  # (2 + (6 + 2) / 2) / 2
    assert used_parameters(mixed) == before - 4


def test_halves_depend_on_the_content_alone() -> None:
    data = get_task("half-turns", num_train=64).dataset("train")
    batch = data.batch(torch.arange(64))
    second = in_second_half(batch)
    assert 16 < int(second.sum()) < 48
    order = torch.randperm(64, generator=seeded(0))
    assert torch.equal(in_second_half(data.batch(order)), second[order])
    part = chosen_samples(batch, second)
    assert torch.equal(part["image"], batch["image"][second])
    clouds = get_task("nbody", num_train=6).dataset("train").batch(torch.arange(6))
    chosen = torch.tensor([True, False, False, True, True, False])
    some = chosen_samples(clouds, chosen)
    assert some.num_samples == 3
    assert torch.equal(some.pos, clouds.pos[chosen[clouds.batch]])
    assert some.batch.tolist() == [cloud for cloud in range(3) for _ in range(5)]
    with pytest.raises(ValueError, match="none of 6 samples"):
        chosen_samples(clouds, torch.zeros(6, dtype=torch.bool))


METHODS = {
    "evolution": lambda *groups: SubgroupEvolution(groups, start=2, generation=2, generations=2, places=4),
    "mixing": lambda *groups: SubgroupMixing(groups, lr=0.1),
}
RUNS = [("half-turns", HALF_TURNS, IMAGES, ("C2", "C1")), ("nbody", PARTICLES, CLOUDS, ("D4", "T(3)"))]


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize(("task", "options", "network", "groups"), RUNS, ids=["images", "clouds"])
def test_a_run_records_what_it_found(kind: str, task, options, network, groups, tmp_path) -> None:
    """Groups over the run, the group that is left, exact by measurement, and a saved model that is small and equal."""
    variant = Variant("searched", network, methods=(METHODS[kind](*groups),))
    settings = {"batch_size": 16, "learning_rate": 1e-2, "warmup_steps": 0, "ema_decay": 0.0, "grad_clip": 0.0}
    train = TrainConfig(steps=8, eval_every=2, checkpoint_every=2, **settings)
    record = run_one(RunConfig(task, variant, 0, train, task_options=options), tmp_path)
    assert record["status"] == "done", record["error"]
    layers = 3 if network is IMAGES else 2
    assert all(f"value/elements kept by layer {k + 1}" in row for row in record["history"] for k in range(layers))
    reason = record["symmetry"]["reasons"][-1]
    assert "the layers keep " in reason
    exact = record.get("exact_symmetry", {}).get("after", {})
    assert all(error < 1e-6 for error in exact.values())
    loaded = load_run(next(tmp_path.rglob("model.safetensors")).parent)
    assert sum(p.numel() for p in loaded.model.parameters()) <= record["parameters"]
    names = reason.removeprefix("the layers keep ").split(":")[0].split(", ")
    orbits = untying(searched_network(loaded.model))
    assert layer_members(searched_network(loaded.model)) == [
        orbits.everything if name == orbits.whole else orbits.members(name) for name in names
    ]


@pytest.mark.parametrize("kind", METHODS)
def test_a_search_begins_as_the_network(kind: str) -> None:
    """The same function for images and clouds, calibration too; before it the ledger claims the least candidate."""
    for task, options, network, groups in RUNS:
        found = get_task(task, **options)
        plain = Variant("plain", network)
        variant = replace(plain, methods=(METHODS[kind](*groups),))
        models = [build_model(found, one).double() for one in (plain, variant)]
        batch = found.dataset("val").batch(torch.arange(8)).to(dtype=torch.float64)
        for model in models:
            if callable(getattr(model, "calibrate", None)):
                model.calibrate(batch)
            model.eval()
        outputs = [model(batch).detach() for model in models]
        rounding = 1e-12 if kind == "evolution" else 1e-6  # norms were taken in float32
        assert float((outputs[0] - outputs[1]).abs().max()) < rounding
        ledger = view_ledger(found, variant, variant.primary_view)
        assert ledger.exact
        assert len(untying(searched_network(models[0])).members("T(3)" if task == "nbody" else "C1")) == 1
        assert ledger.layers.is_subgroup(parse_group("T(3)" if task == "nbody" else "C1"))
        method = variant.methods[0]
        view = variant.primary_view
        if view == "full":
            assert "nothing is lost" in method.learned_ledger(models[1], found.ledger(plain), view).reasons[-1]
            continue
        with in_view(models[1], variant.methods, view):
            assert float((models[1](batch) - outputs[0]).detach().abs().max()) < rounding


@pytest.mark.parametrize("kind", METHODS)
def test_the_methods_keep_the_rules_of_methods(kind: str, tmp_path) -> None:
    task = get_task("nbody", **PARTICLES)
    check_method(METHODS[kind]("D4", "T(3)"), task, Variant("a", CLOUDS, methods=(Augment("SO(3)"),)), tmp_path)


def test_logits_learn_from_what_is_held_out_and_weights_do_not() -> None:
    """One step of the loop by hand: the term has no gradient for a weight, the loss none for a logit."""
    from rapidash.methods import StepView, Supervised

    task = get_task("half-turns", **HALF_TURNS)
    variant = Variant("a", IMAGES, methods=(SubgroupMixing(("C2", "C1")),))
    model = build_model(task, variant).double().train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=seeded(0), dtype=torch.float64)
    control = variant.methods[0].control(model, 10)
    control.before(0)
    whole = task.dataset("train").batch(torch.arange(40))
    batch = control.batch(whole, seeded(0))
    assert batch.num_samples + control.held_out.num_samples == 40
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    outcome = Supervised().step(model, task, batch.to(dtype=torch.float64), seeded(0))
    seen = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert any(not torch.equal(seen[name], before) for name, before in statistics.items())
    term = control.terms(StepView(0, 10, model, batch, outcome, task=task))["held out"]
    assert all(torch.equal(seen[name], buffer) for name, buffer in model.named_buffers())
    logits = [mixture.logits for mixture in mixtures(model)]
    weights = [p for p in model.parameters() if all(p is not logit for logit in logits)]
    assert all(g is None for g in torch.autograd.grad(outcome.loss, logits, allow_unused=True, retain_graph=True))
    assert all(g is None for g in torch.autograd.grad(term, weights, allow_unused=True, retain_graph=True))
    assert all(bool(g.any()) for g in torch.autograd.grad(term, logits))
    control.before(5)  # the search is over: all samples are for the weights
    assert control.batch(whole, seeded(0)).num_samples == 40


def test_what_a_search_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="'rapidash' and 'image-gcnn'"):
        Variant("a", MLPConfig(), methods=(SubgroupEvolution(),))
    with pytest.raises(ValueError, match="no orientations"):
        Variant("a", RapidashConfig(space="R3"), methods=(SubgroupMixing(("T(3)",)),))
    with pytest.raises(ValueError, match="leave 'subgroups' out"):
        Variant("a", replace(IMAGES, subgroups=("C4", "C4", "C1")), methods=(SubgroupEvolution(),))
    with pytest.raises(ValueError, match="places"):
        SubgroupEvolution(population=3, places=3)
    with pytest.raises(ValueError, match="share"):
        SubgroupMixing(share=1.0)


def test_a_planted_group_is_found_and_kept() -> None:
    """Six and nine: the last layer loses half turns in the first generation; where all turns hold nothing is lost."""
    for turns, kept in (("told apart", False), ("ignored", True)):
        task = get_task("half-turns", turns=turns, noise=0.3, num_train=100, num_val=100)
        train, val = (
            task.dataset(split).batch(torch.arange(100)).to(dtype=torch.float32) for split in ("train", "val")
        )
        torch.manual_seed(0)
        network = replace(IMAGES, channels=4).build(Interface(dim=0, in_scalars=1, out_scalars=8))

        def fit(model: nn.Module, data: RowBatch = train) -> None:
            optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-2)
            for _ in range(25):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(data["image"]), data["label"]).backward()
                optimizer.step()

        @torch.no_grad()
        def error(model: nn.Module, data: RowBatch = val) -> float:
            return float((model.eval()(data["image"]).argmax(1) != data["label"]).float().mean())

        result = EquivarianceSearch(network, ("C1",)).evolve(fit, error, generations=1)
        assert (result.best.groups[-1] == "C(4)") == kept, (turns, result.history)


def share_of_the_last(model: nn.Module, sign: float) -> torch.Tensor:
    """A loss with a gradient by weights and, where they are trained, by logits: that of the smallest group's share."""
    weights = sum(parameter.square().sum() for name, parameter in model.named_parameters() if "logits" not in name)
    return weights + sign * sum(mixture()[-1] for mixture in mixtures(model))


@pytest.mark.parametrize(("sign", "share", "group"), [(1.0, 5, "C(4)"), (-1.0, -1, "C1")])
def test_the_first_step_of_a_differentiable_search_by_hand(sign: float, share: float, group: str) -> None:
    """Adam's first step is the rate: logits 0 and -2 go to 1.5 and -3.5, or the other way to -1.5 and -0.5."""
    network = IMAGES.build(Interface(dim=0, in_scalars=1, out_scalars=2)).double()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    search = EquivarianceSearch(network, ("C1",))
    found = search.differentiate(share_of_the_last, [0.0], [sign], epochs=1, lr=1e-3, logit_lr=1.5)
    expected = torch.tensor([[float(share), 0.0]] * 3).softmax(dim=1)
    assert torch.allclose(found.shares.float(), expected, atol=1e-5)
    assert found.groups == (group,) * 3
    assert found.names == ("C(4)", "C1")
    assert layer_members(found.model) == [search.candidates.members[found.names.index(group)]] * 3
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert found.model.training
    assert not mixtures(found.model)


def test_weights_and_logits_of_a_search_see_their_own_batches_in_turn() -> None:
    """Three batches of training, two held out that start anew; batch statistics are those of training alone."""
    network = IMAGES.build(Interface(dim=0, in_scalars=1, out_scalars=2)).double()
    images = {name: torch.randn(3, 1, 5, 5, generator=seeded(name), dtype=torch.float64) for name in "abcxy"}
    seen: list[str] = []
    losses: list[float] = []

    def loss(model: nn.Module, name: str) -> torch.Tensor:
        seen.append(name)
        value = model(images[name]).square().mean()
        losses.append(float(value.detach()))
        return value

    search = EquivarianceSearch(network, ("C2", "C1"))
    found = search.differentiate(loss, list("abc"), list("xy"), epochs=2, lr=1e-9, logit_lr=1e-9)
    assert "".join(seen) == "axbycxaybxcy"
    means = [(sum(losses[k : k + 6 : 2]) / 3, sum(losses[k + 1 : k + 6 : 2]) / 3) for k in (0, 6)]
    assert [value for row in found.history for value in row] == pytest.approx([value for row in means for value in row])
    plain = network.train()
    for name in "abcabc":  # the rate is as good as 0, and a mixture begins as the network
        plain(images[name])
    statistics = dict(plain.named_buffers())
    kept = {name: buffer for name, buffer in found.model.named_buffers() if "running" in name}
    assert kept
    for name, buffer in kept.items():
        own = statistics[name] if name in statistics else statistics[name.removeprefix("norm.")]
        assert torch.allclose(buffer, own, atol=1e-6)


def test_a_differentiable_search_finds_what_was_planted() -> None:
    """Six and nine: a layer, which need not be the last one, loses half turns; where all turns hold every one keeps."""
    for turns, kept in (("told apart", False), ("ignored", True)):
        task = get_task("half-turns", turns=turns, noise=0.3, num_train=100, num_val=100)
        batches = [task.dataset(split).batch(torch.arange(100)).to(dtype=torch.float32) for split in ("train", "val")]
        torch.manual_seed(0)
        network = replace(IMAGES, channels=4).build(Interface(dim=0, in_scalars=1, out_scalars=8))

        def loss(model: nn.Module, data: RowBatch) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(model(data["image"]), data["label"])

        search = EquivarianceSearch(network, ("C1",))
        found = search.differentiate(loss, batches[:1], batches[1:], epochs=20, lr=1e-2, logit_lr=0.1)
        assert all(group == "C(4)" for group in found.groups) == kept, (turns, found.shares)
        assert found.history[-1][0] < found.history[0][0]


def test_a_differentiable_search_refuses_what_it_cannot_use() -> None:
    search = EquivarianceSearch(IMAGES.build(Interface(dim=0, in_scalars=1, out_scalars=2)), ("C1",))
    for wrong in ({"epochs": 0}, {"lr": 0.0}, {"logit_lr": float("nan")}):
        with pytest.raises(ValueError, match="epochs >= 1, lr > 0 and logit_lr > 0"):
            search.differentiate(share_of_the_last, [0.0], [1.0], **{"epochs": 1, **wrong})
    with pytest.raises(ValueError, match="train has no batches, or none for another epoch"):
        search.differentiate(share_of_the_last, iter([0.0]), [1.0], epochs=2)
    with pytest.raises(ValueError, match="held_out has no batches"):
        search.differentiate(share_of_the_last, [0.0], [], epochs=1)
    with pytest.raises(ValueError, match="the loss of a batch is nan"):
        search.differentiate(share_of_the_last, [0.0], [float("nan")], epochs=1)
