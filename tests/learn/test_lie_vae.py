"""Learned commuting generators: the penalties, the networks and the objective against definitions by hand."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash._plain import from_plain, to_plain, with_absent
from rapidash._seed import seeded
from rapidash.data import Field, RowDataset
from rapidash.groups import Scalar
from rapidash.learn import (
    VAE,
    CommutativeLieGroupVAE,
    CommutativeLieGroupVAEConfig,
    VAEConfig,
    VariationalBound,
    commutator_penalty,
    hessian_penalty,
)
from rapidash.learn._autoencoders import perceptron
from rapidash.methods import Step, Variant, build_model
from rapidash.models import Interface, MLPConfig, NetworkConfig
from rapidash.symmetry import ExponentialAction
from rapidash.tasks import get_task
from rapidash.train import TrainConfig, train


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded("lie-vae", seed), dtype=torch.float64)


def action_of(generators: Tensor) -> ExponentialAction:
    action = ExponentialAction(len(generators), generators.shape[-1]).double()
    with torch.no_grad():
        action.generators.copy_(generators)
    return action.requires_grad_(False)


def blocks(num: int = 3, size: int = 2) -> Tensor:
    """Generators with a block of their own each."""
    found = torch.zeros(num, num * size, num * size, dtype=torch.float64)
    for index, block in enumerate(random(num, size, size)):
        found[index, index * size : (index + 1) * size, index * size : (index + 1) * size] = block
    return found


def test_penalties_by_hand() -> None:
    """A B = diag(1, 0) and B A = diag(0, 1) for the two units off the diagonal: norms 1, commutator diag(1, -1)."""
    up, down = torch.tensor([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])
    pair = torch.stack([up, down])
    assert float(hessian_penalty(pair)) == pytest.approx(1.0)
    assert float(commutator_penalty(pair)) == pytest.approx(2.0)
    three = torch.stack([up, down, 2 * up])  # A A' = 0; 2 up and down: products of norm 2, commutator diag(2, -2)
    assert float(hessian_penalty(three)) == pytest.approx((2 * 1 + 2 * 4 + 2 * 0) / 6)
    assert float(commutator_penalty(three)) == pytest.approx((2 * 2 + 2 * 8 + 2 * 0) / 6)
    squares = torch.diag_embed(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))  # their squares are free, they are no pair
    assert float(hessian_penalty(squares)) == 0
    assert float(hessian_penalty(up[None])) == float(commutator_penalty(up[None])) == 0


def test_generators_with_a_block_each_commute_and_add_up() -> None:
    generators, t = blocks(), random(3, seed=1)
    assert hessian_penalty(generators) == commutator_penalty(generators) == 0
    action = action_of(generators)
    parts = [torch.linalg.matrix_exp(s * a) for s, a in zip(t, generators)]
    g, eye = action(t), torch.eye(6, dtype=torch.float64)
    assert float((g - parts[0] @ parts[1] @ parts[2]).abs().max()) < 1e-12
    assert float((g - eye - sum(part - eye for part in parts)).abs().max()) < 1e-12


def test_a_pair_that_commutes_is_not_penalized_though_its_product_is_not_symmetric() -> None:
    """What the released code computes, the product less its transpose, is large for the same pair."""
    q = random(4, 4)
    pair = torch.stack([q, q @ q - 0.3 * q])
    assert float(commutator_penalty(pair)) < 1e-12
    assert float(hessian_penalty(pair)) > 1
    products = torch.einsum("iab,jbc->ijac", pair, pair)
    released = (products - products.transpose(-1, -2)).square().sum(dim=(-1, -2)).mean()
    assert float(released) > 1
    turned = torch.stack([q, random(4, 4, seed=3)])
    assert float(commutator_penalty(turned)) > 1


def test_the_law_of_one_parameter() -> None:
    action = action_of(random(3, 4, 4))
    for latent in torch.eye(3, dtype=torch.float64):
        product = action(0.7 * latent) @ action(-1.2 * latent)
        assert float((product - action(-0.5 * latent)).abs().max()) < 1e-10


def test_penalties_have_gradients() -> None:
    generators = random(3, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(hessian_penalty, generators)
    assert torch.autograd.gradcheck(commutator_penalty, generators)


@pytest.mark.usefixtures("shape_checks_off")
@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 4), (0, 3, 3)])
def test_what_is_no_stack_of_generators_is_refused(shape: tuple[int, ...]) -> None:
    for penalty in (hessian_penalty, commutator_penalty):
        with pytest.raises(ValueError, match=r"generators must be matrices \(L, n, n\), got shape"):
            penalty(torch.zeros(shape))


def lie_network(**options: Any) -> CommutativeLieGroupVAE:
    torch.manual_seed(0)
    sizes = {"num_pixels": 16, "num_latents": 2, "size": 3, "hidden": [8]}
    return CommutativeLieGroupVAE(**sizes | options).double().requires_grad_(False)


def test_the_decoder_sees_the_exponential_of_the_code() -> None:
    network, x = lie_network(init_scale=0.5), random(5, 16).sigmoid()
    mean, log_var, features = network.encode(x)
    assert features is not None
    assert torch.equal(mean, network.mean_head(features))
    assert torch.equal(log_var, network.log_var_head(features))
    algebra = mean[:, 0, None, None] * network.generators[0] + mean[:, 1, None, None] * network.generators[1]
    expected = network.decoder(torch.linalg.matrix_exp(algebra).reshape(5, 9))
    found = network(x)
    assert torch.allclose(found.reconstruction, expected, atol=1e-12)
    assert torch.allclose(network.decode(mean), expected, atol=1e-12)
    from_features = network(x, from_features=True)
    assert torch.allclose(from_features.reconstruction, network.decoder(features), atol=1e-12)
    noise = torch.randn(5, 2, generator=seeded("noise"), dtype=torch.float64)
    drawn = network(x, seeded("noise"))
    assert torch.allclose(drawn.reconstruction, network.decode(mean + (log_var / 2).exp() * noise), atol=1e-12)


@pytest.mark.parametrize("network", [lie_network(), VAE(16, 2, [8]).double()], ids=["lie", "plain"])
def test_draws_come_from_the_generator_that_is_passed(network: nn.Module) -> None:
    x = random(5, 16).sigmoid()
    before = torch.get_rng_state()
    first, again, other = (network(x, seeded(seed)).reconstruction for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(network(x).reconstruction, network(x).reconstruction)


def test_perceptrons_by_hand() -> None:
    """x -> max(0, x) and max(0, -x), weighed 2 and 3; or x sigmoid(x) in place of max(0, x)."""
    for activation, expected in (
        ("relu", [4.0, 3.0]),
        ("silu", [4 / (1 + math.exp(-2)) - 6 / (1 + math.exp(2)), None]),
    ):
        network = perceptron([1, 2, 1], activation).double().requires_grad_(False)
        for part, weight in ((network[0], [[1.0], [-1.0]]), (network[2], [[2.0, 3.0]])):
            part.weight.copy_(torch.tensor(weight))
            part.bias.zero_()
        found = network(torch.tensor([[2.0], [-1.0]], dtype=torch.float64)).flatten().tolist()
        assert found[0] == pytest.approx(expected[0])
        assert expected[1] is None or found[1] == pytest.approx(expected[1])
    torch.manual_seed(0)
    first = perceptron([30, 70, 5])[0]
    assert float(first.weight.detach().abs().max()) == pytest.approx(math.sqrt(6 / 100), rel=0.01)  # of 2,100 draws
    assert float(first.weight.detach().var()) == pytest.approx(2 / 100, rel=0.1)
    assert not bool(first.bias.any())
    assert bool(perceptron([30, 70, 5], "silu")[0].bias.any())


@pytest.mark.parametrize("config", [VAEConfig(), CommutativeLieGroupVAEConfig()], ids=["vae", "lie-vae"])
def test_a_configuration_of_an_earlier_version_means_its_activation(config: Any) -> None:
    plain = to_plain(config)
    assert plain.pop("activation") == "relu"
    earlier = from_plain(NetworkConfig, with_absent(type(config), plain))
    assert earlier == from_plain(NetworkConfig, plain, complete=True) == replace(config, activation="silu")
    assert to_plain(earlier, for_key=True) == plain
    network = earlier.build(Interface(dim=0, in_scalars=16, out_scalars=16))
    kinds = {type(part) for part in network.modules()}
    assert nn.SiLU in kinds
    assert nn.ReLU not in kinds


class Known(VAE):
    """Logits 0 for every pixel, and the posterior of mean 1 and log-variance 0, whatever the image."""

    def encode(self, x: Tensor) -> Any:
        zeros = x.new_zeros(len(x), self.num_latents)
        return super().encode(x)._replace(mean=zeros + 1, log_var=zeros)

    def decode(self, codes: Tensor) -> Tensor:
        return 0 * super().decode(codes)


def step(objective: VariationalBound, network: nn.Module, *, seed: int = 0, image: Tensor | None = None) -> Step:
    image = random(5, 1, 4, 4).sigmoid() if image is None else image
    data = RowDataset({"image": image}, {"image": Field(Scalar(), level="cloud")})
    return objective.step(network, None, data.batch(torch.arange(len(image))), seeded(seed))  # type: ignore[arg-type]


def test_the_bound_by_hand() -> None:
    """16 pixels at log 2 nats each; two latents of mean 1 and variance 1 have the divergence 1 / 2 each."""
    network = Known(16, 2, [8]).double().requires_grad_(False)
    found = step(VariationalBound(beta=4.0), network)
    assert float(found.loss) == pytest.approx(16 * math.log(2) + 4 * 1)
    assert {name: float(value) for name, value in found.parts.items()} == {
        "reconstruction": pytest.approx(16 * math.log(2)),
        "KL": pytest.approx(1.0),
    }
    image = random(7, 1, 4, 4).sigmoid()
    data = RowDataset({"image": image}, {"image": Field(Scalar(), level="cloud")})
    score = VariationalBound(beta=4.0).score(network, None, data, train=data, batch_size=3)  # type: ignore[arg-type]
    assert score.error == pytest.approx(16 * math.log(2) + 1)  # whatever beta: all variants on one scale
    assert score.details["active latents"] == 0


def after_the_choice(generator: torch.Generator) -> torch.Generator:
    """The stream of a step behind the number that chooses what the batch is decoded from."""
    torch.rand((), generator=generator)
    return generator


def test_the_loss_is_the_sum_of_its_terms() -> None:
    network = lie_network(init_scale=0.5)
    plain = step(VariationalBound(), network)
    weights = {"hessian": 3.0, "commutator": 5.0, "feature": 7.0}
    found = step(VariationalBound(**weights), network)
    expected = float(plain.loss)
    expected += 3 * float(hessian_penalty(network.generators)) + 5 * float(commutator_penalty(network.generators))
    expected += 7 * float(plain.parts["distance of features"])
    assert float(found.loss) == pytest.approx(expected)
    assert float(plain.loss) == pytest.approx(float(plain.parts["reconstruction"] + plain.parts["KL"]))
    outcome = network(random(5, 1, 4, 4).sigmoid().flatten(1), after_the_choice(seeded(0)))
    distance = (outcome.features - outcome.elements).square().sum() / 5
    assert float(plain.parts["distance of features"]) == pytest.approx(float(distance))


def test_whole_batches_are_decoded_from_features_at_their_rate() -> None:
    network = lie_network()
    x = random(5, 1, 4, 4).sigmoid()
    by_features = network(x.flatten(1), from_features=True).reconstruction.reshape(x.shape)
    objective = VariationalBound(feature_probability=0.2)
    share = sum(torch.equal(step(objective, network, seed=seed).prediction, by_features) for seed in range(400)) / 400
    assert 0.14 < share < 0.26  # 3 standard deviations
    always, never = (step(VariationalBound(feature_probability=p), network) for p in (1.0, 0.0))
    assert torch.equal(always.prediction, by_features)
    assert not torch.equal(never.prediction, by_features)


REFUSED: dict[str, tuple[Any, str]] = {
    "activation": (lambda: VAEConfig(activation="tanh"), "activation must be one of"),  # type: ignore[arg-type]
    "activation of a perceptron": (lambda: perceptron([2, 2], "tanh"), "activation must be one of"),  # type: ignore[arg-type]
    "beta": (lambda: VariationalBound(beta=-1.0), "weights must be at least 0"),
    "infinite": (lambda: VariationalBound(hessian=math.inf), "weights must be at least 0"),
    "probability": (lambda: VariationalBound(feature_probability=1.5), r"feature_probability in \[0, 1\]"),
    "no network": (lambda: VariationalBound().modify(nn.Linear(2, 2), None), "needs a variational autoencoder"),  # type: ignore[arg-type]
    "no group": (lambda: VariationalBound(hessian=1.0).modify(VAE(4, 2, [3]), None), "belong to a learned group"),  # type: ignore[arg-type]
    "features": (lambda: VAE(4, 2, [3])(torch.zeros(1, 4), from_features=True), "no features of a group"),
    "size of a net": (lambda: VAE(4, 0, [3]), "sizes must be at least 1, got num_pixels=4, num_latents=0"),
    "size of a group": (lambda: CommutativeLieGroupVAE(4, 2, 0, [3]), "sizes must be at least 1, .*size=0"),
    "latents": (lambda: VAEConfig(num_latents=0), "sizes must be at least 1"),
    "scale": (lambda: CommutativeLieGroupVAEConfig(init_scale=0.0), "init_scale positive"),
    "another task": (lambda: VAEConfig().build(Interface(dim=0, in_scalars=3, out_scalars=2)), "asks for its input"),
    "too bright": (lambda: step(VariationalBound(), lie_network(), image=torch.full((2, 1, 4, 4), 1.5)), "rescale"),
    "NaN": (lambda: step(VariationalBound(), lie_network(), image=torch.full((2, 1, 4, 4), math.nan)), r"in \[0, 1\]"),
    "shapes": (lambda: get_task("shape-images", shapes="disks"), "shapes must be 'squares' or 'hooks'"),
}  # fmt: skip


@pytest.mark.usefixtures("shape_checks_off")
@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        make()


def test_other_networks_are_no_variational_autoencoders() -> None:
    task, objective = get_task("shape-images"), VariationalBound()
    with pytest.raises(ValueError, match="'vae' or 'lie-vae'"):
        build_model(task, Variant("mlp", MLPConfig(hidden_dim=8), objective=objective), seed=0)


def test_training_is_reproducible_and_learns(tmp_path: Any) -> None:
    task, config = get_task("shape-images"), CommutativeLieGroupVAEConfig(hidden_dim=16, num_layers=1, size=3)
    objective = VariationalBound(hessian=40.0, feature=0.1, feature_probability=0.2)
    settings = TrainConfig(steps=30, batch_size=32, warmup_steps=5, eval_every=15, checkpoint_every=30)
    results = []
    for run in ("a", "b"):
        model = build_model(task, Variant("it", config, objective=objective), seed=0)
        found = train(
            model,
            task,
            settings,
            train_set=task.dataset("train"),
            val_set=task.dataset("val"),
            seed=0,
            run_dir=tmp_path / run,
            progress=False,
            objective=objective,
        )
        results.append(found)
    first, second = ([row["val_error"] for row in found.history] for found in results)
    assert first == second
    assert first[-1] < first[0]
    assert {"loss/Hessian penalty", "val/KL (nats)", "val/active latents"} <= results[0].history[-1].keys()


def test_features_mean_nothing_to_a_network_without_any() -> None:
    torch.manual_seed(0)
    network, image = VAE(16, 2, [3]).double(), random(5, 1, 4, 4).sigmoid()
    plain = step(VariationalBound(), network, image=image)
    told = step(VariationalBound(feature=0.1, feature_probability=1.0), network, image=image)
    assert torch.equal(plain.loss, told.loss)
