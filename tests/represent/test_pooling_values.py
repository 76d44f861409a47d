"""Pooling of sites: frames, discrepancies, losses and ComBat by hand or by another route, and what they refuse."""

import math

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.represent.pooling import (
    ACCURACY,
    ADVERSARY,
    CONDITIONAL,
    COVARIATE,
    COVARIATE_ANYHOW,
    DISCREPANCY,
    FIGURES,
    LEAK,
    CanonicalizedHead,
    ComBat,
    CovariateEquivariantEncoder,
    SiteRows,
    TwoStageNetwork,
    TwoStagePooling,
    cayley,
    check_sites,
    covariate_bins,
    explained_share,
    linear_answer,
    matched_distance,
    maximum_mean_discrepancy,
    nested_head,
    pairwise_covariate_loss,
    pooling_report,
    probe,
    reversed_gradient,
    shrunk_effects,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def test_a_rotation_by_hand() -> None:
    """In the plane the angle is twice the arc tangent: 1 gives a quarter turn; zero parameters the identity."""
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(cayley(torch.tensor([[1.0], [0.0]]).double(), 2), torch.stack([quarter, torch.eye(2)]))
    angle = 2 * math.atan(0.3)
    about_z = cayley(torch.tensor([[0.3, 0.0, 0.0]], dtype=torch.float64), 3)[0]
    expected = [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    torch.testing.assert_close(about_z, torch.tensor(expected, dtype=torch.float64))


def test_cayley_gives_rotations() -> None:
    q = cayley(3 * normal(5, 120), 16)
    assert float((q.mT @ q - torch.eye(16)).abs().max()) < 1e-10
    torch.testing.assert_close(torch.linalg.det(q), torch.ones(5, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"rotations of 3 dimensions need skew_params \(B, 3\), got \(2, 2\)"):
        cayley(torch.zeros(2, 2), 3)


def test_a_head_in_its_frame_is_equivariant_and_any_map_elsewhere_is_not() -> None:
    head = CanonicalizedHead(nn.Sequential(nn.Linear(4, 9), nn.SiLU(), nn.Linear(9, 4)).double().requires_grad_(False))
    z, q, r = normal(6, 4), cayley(normal(6, 6, seed=1), 4), cayley(normal(6, 6, seed=2), 4)
    turned = (r @ z[..., None])[..., 0]
    expected = (r @ head(z, q)[..., None])[..., 0]
    assert float((head(turned, r @ q) - expected).abs().max()) < 1e-10
    assert float((head.b(turned) - (r @ head.b(z)[..., None])[..., 0]).abs().max()) > 0.1


def test_the_head_by_hand() -> None:
    """b keeps the first coordinate; the frame is a quarter turn: what is kept is the second."""

    class First(nn.Module):
        def forward(self, u: Tensor) -> Tensor:
            return u * torch.tensor([1.0, 0.0])

    quarter = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]])
    assert CanonicalizedHead(First())(torch.tensor([[3.0, 5.0]]), quarter).tolist() == [[0.0, 5.0]]


def test_discrepancy_by_hand() -> None:
    """Points 0 and 2 of one group, 1 of another: (1 + e^-2) / 2 + 1 - 2 e^-1."""
    z, groups = torch.tensor([[0.0], [2.0], [1.0]], dtype=torch.float64), torch.tensor([7, 7, 3])
    expected = (1 + math.exp(-2)) / 2 + 1 - 2 * math.exp(-1)
    assert float(maximum_mean_discrepancy(z, groups)) == pytest.approx(expected, abs=1e-12)
    wide = (1 + math.exp(-4 / 8)) / 2 + 1 - 2 * math.exp(-1 / 8)
    assert float(maximum_mean_discrepancy(z, groups, "gaussian", bandwidth=2.0)) == pytest.approx(wide, abs=1e-12)


def test_discrepancy_is_the_sum_over_pairs_and_over_bins() -> None:
    z, groups, bins = normal(40, 3), torch.arange(40) % 3, torch.arange(40) // 25
    pairs = sum(
        float(maximum_mean_discrepancy(z[rows := (groups == a) | (groups == b)], groups[rows]))
        for a, b in ((0, 1), (0, 2), (1, 2))
    )
    assert float(maximum_mean_discrepancy(z, groups)) == pytest.approx(pairs, abs=1e-12)
    parts = [float(maximum_mean_discrepancy(z[bins == k], groups[bins == k])) for k in (0, 1)]
    within = float(maximum_mean_discrepancy(z, groups, within=bins))
    assert within == pytest.approx(25 / 40 * parts[0] + 15 / 40 * parts[1], abs=1e-12)


def test_identical_groups_have_no_discrepancy() -> None:
    z = normal(10, 3)
    assert float(maximum_mean_discrepancy(torch.cat([z, z]), torch.arange(20) // 10)) == pytest.approx(0, abs=1e-12)
    assert float(maximum_mean_discrepancy(z, torch.zeros(10).long())) == pytest.approx(0, abs=1e-12)  # a single group
    one = z[:1].requires_grad_()
    maximum_mean_discrepancy(one, torch.zeros(1).long()).backward()  # a batch of one
    assert one.grad is not None
    assert float(one.grad.abs().max()) == 0


def test_gradient_of_the_discrepancy_with_equal_rows() -> None:
    """At a distance of 0, where the kernel has a kink, it is that of central differences: none."""
    z, groups = torch.cat([normal(4, 2), normal(4, 2)]).requires_grad_(), torch.tensor([0, 0, 1, 1, 1, 1, 0, 1])
    assert float(torch.cdist(z, z).detach()[0, 4]) == 0
    maximum_mean_discrepancy(z, groups).backward()
    steps = 1e-6 * torch.eye(16, dtype=z.dtype).reshape(16, 8, 2)
    ahead, behind = (torch.stack([maximum_mean_discrepancy(z + s * step, groups) for step in steps]) for s in (1, -1))
    assert z.grad is not None
    torch.testing.assert_close(z.grad.flatten(), ((ahead - behind) / 2e-6).detach(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": "laplace"}, "unknown kernel 'laplace'.*did you mean 'laplacian'"),
        ({"bandwidth": 0.0}, "bandwidth must be positive, got 0"),
        ({"within": torch.zeros(2)}, r"a group and a bin for each .* \(3, 2\), \(3,\) and \(2,\)"),
    ],
)
def test_discrepancies_refuse(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maximum_mean_discrepancy(torch.zeros(3, 2), torch.zeros(3), **settings)  # type: ignore[arg-type]


def test_bins_hold_equal_numbers() -> None:
    c = torch.tensor([0.1, 5.0, -3.0, 0.2, 9.0, 7.0, 0.0, 8.0])
    assert covariate_bins(c, 4).tolist() == [1, 2, 0, 1, 3, 2, 0, 3]
    assert covariate_bins(c, 1).tolist() == [0] * 8
    both = covariate_bins(torch.stack([c, -c], dim=1), 2)
    assert both.tolist() == [1, 2, 1, 1, 2, 2, 1, 2]  # low and high, or high and low
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        covariate_bins(c, 0)


def test_differences_of_covariates() -> None:
    """tau - c is (0, 3): the pairs have squared differences 0, 9, 9, 0."""
    tau, c = torch.tensor([[1.0], [5.0]]), torch.tensor([1.0, 2.0])
    assert float(pairwise_covariate_loss(tau, c)) == 4.5
    assert float(pairwise_covariate_loss(c[:, None] + 7, c)) == 0  # a constant is no difference
    assert float(pairwise_covariate_loss(-c[:, None], c)) == 2  # the sign counts
    tau, c = normal(7, 2), normal(7, 2, seed=1)
    gaps = (tau[:, None] - tau[None]) - (c[:, None] - c[None])
    assert float(pairwise_covariate_loss(tau, c)) == pytest.approx(float(gaps.square().sum(dim=2).mean()), rel=1e-12)
    with pytest.raises(ValueError, match=r"at least two rows.*tau \(1, 1\).*is the batch a single row"):
        pairwise_covariate_loss(torch.zeros(1, 1), torch.zeros(1))


def test_matched_pairs_by_hand() -> None:
    """Only rows of one cell and two sites are pairs: 0 and 3 here, whatever the order."""
    z = torch.tensor([[0.0], [50.0], [90.0], [3.0]])
    cell, site = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 0, 1])
    for seed in range(3):
        assert float(matched_distance(z, cell, site, seeded(seed))) == 9
    assert float(matched_distance(z, cell, torch.zeros(4), seeded(0))) == 0


def test_the_gradient_turns_round() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (3 * reversed_gradient(x, 0.5)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.5, -1.5]


def sites(*, rows: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """Columns, site and covariate, which are shared with the reference below."""
    i = torch.arange(rows, dtype=torch.float64)
    third = i % 3
    columns = (
        torch.sin(i) + 0.5 * third + 0.1 * i,
        2 + torch.cos(1.7 * i) * (1 + third),
        0.3 * i * torch.sin(2.3 * i) - third,
        1 + torch.sin(0.7 * i * i),
    )
    return torch.stack(columns, dim=1), third.long(), torch.sin(5 * i) + 0.2 * third


def test_combat_gives_what_neurocombat_gives() -> None:
    """The first rows by neuroCombat 0.2.12 with ``continuous_cols=["c"]``, which stops at a change of 1e-4."""
    x, site, c = sites()
    expected = [
        [0.31794, 3.69546, -2.10133, 0.96429],
        [1.40586, 1.60278, -0.5586, 1.59921],
        [1.59335, 0.24512, -1.32889, 1.32773],
        [0.89066, 2.68012, -1.54491, 1.07561],
        [0.27351, 3.54519, -0.55378, 0.11962],
    ]
    found = ComBat(4, 3, 1).double().fit(x, site, c)(x, site, c)
    torch.testing.assert_close(found[:5], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=3e-5)


def test_combat_without_shrinking_is_location_and_scale() -> None:
    """The residuals from intercept and covariate have mean 0 and one variance at every site, in closed form."""
    x, site, c = sites()
    combat = ComBat(4, 3, 1).double().fit(x, site, c, shrink=False)
    residual = (combat(x, site, c) - combat.intercept - c[:, None] @ combat.slope) / combat.scale
    for number in range(3):
        torch.testing.assert_close(residual[site == number].mean(dim=0), torch.zeros(4, dtype=torch.float64))
        torch.testing.assert_close(residual[site == number].var(dim=0), torch.ones(4, dtype=torch.float64))


def test_shrunk_effects_solve_their_equations() -> None:
    rows = normal(9, 5) * torch.arange(1.0, 6) + torch.tensor([0.0, 1, -1, 2, 0])
    found, n = shrunk_effects(rows), len(rows)
    shift, variance = rows.mean(dim=0), rows.var(dim=0)
    a = 2 + variance.mean() ** 2 / variance.var()
    b = variance.mean() + variance.mean() ** 3 / variance.var()
    spread = shift.var()
    gamma = (n * spread * shift + found.variance * shift.mean()) / (n * spread + found.variance)
    delta = (b + (rows - found.shift).square().sum(dim=0) / 2) / (n / 2 + a - 1)
    torch.testing.assert_close(found.shift, gamma, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.variance, delta, rtol=1e-6, atol=1e-6)


def test_combat_leaves_new_sites_and_constant_columns_alone() -> None:
    x, site, c = sites()
    x = torch.cat([x, torch.full((12, 1), 4.0)], dim=1)
    combat = ComBat(5, 4, 1).double().fit(x, site, c)
    there, new = combat(x, site, c), combat(x, torch.full((12,), 3), c)
    assert torch.equal(new, x)
    assert torch.equal(there[:, 4], x[:, 4])
    assert float((there[:, :4] - x[:, :4]).abs().max()) > 0.1


def test_combat_refuses() -> None:
    x, site, c = sites()
    for arguments, message in (
        ((x, site, site.double()), "covariates are a function of the site"),
        ((x, 0 * site, c), r"two sites of at least two rows, got 4 columns and sites of \[12\]"),
        ((x, torch.tensor([1] + [0] * 11), c), r"sites of \[11, 1\] rows"),
        ((x[:, :1], site, c), "got 1 columns"),
        ((torch.stack([x[:, 0], 0 * c], dim=1), site, c), "1 of 2 vary beyond what site and covariates say"),
    ):
        with pytest.raises(ValueError, match=message):
            ComBat(arguments[0].shape[1], 3, 1).fit(*arguments)


def test_an_encoder_gives_points_of_the_sphere() -> None:
    encoder = CovariateEquivariantEncoder(nn.Linear(5, 3), 3, nn.Linear(3, 2))
    z, tau = encoder(torch.randn(4, 5, generator=seeded(0)))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(4))
    assert tau.shape == (4, 2)
    torch.testing.assert_close(encoder(torch.ones(1, 5))[0], encoder(torch.ones(3, 5))[0][:1])  # a batch of one
    with pytest.raises(ValueError, match="latent_dim must be at least 2 for a rotation to act, got 1"):
        CovariateEquivariantEncoder(nn.Linear(5, 1), 1, nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"the encoder returned shape \(2, 4\), expected \(B, 3\)"):
        CovariateEquivariantEncoder(nn.Linear(5, 4), 3, nn.Linear(3, 1))(torch.ones(2, 5))


def test_stages_of_a_network() -> None:
    """The first stage represents by z, the second by a head in the frame of tau, without a gradient to the first."""
    network = TwoStageNetwork(5, 2, latent_dim=4, hidden_dim=8, num_layers=1).double()
    x = normal(6, 5)
    z, tau = network.first(x)
    torch.testing.assert_close(network.represent(x), z)
    network.begin_second_stage()
    frame = cayley(tau @ network.skew.weight.T, 4)
    torch.testing.assert_close(network.represent(x), network.head(z, frame))
    network(x).sum().backward()
    learned = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learned == {"skew", "head", "classifier"}
    again = TwoStageNetwork(5, 2, latent_dim=4, hidden_dim=8, num_layers=1).double()
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(x), network(x))  # the stage is saved with the weights


def rows_of(z: Tensor, site: Tensor, c: Tensor) -> SiteRows:
    return SiteRows(z, (z[:, 0] > 0).long(), site, c)


def test_the_report_knows_independence_copies_and_leaks() -> None:
    """Noise leaks nothing, also where the covariate gives the site away; the site itself leaks all that is left."""
    site = torch.arange(1200) % 2
    c = normal(1200) + site
    noise = normal(1200, 3, seed=1)
    half = slice(0, 600), slice(600, 1200)

    def figures(z: Tensor) -> dict[str, float]:
        found = pooling_report(*(rows_of(z[part], site[part], c[part]) for part in half)).rows[0]
        assert tuple(found) == FIGURES
        return dict(found)

    nothing = figures(noise)
    assert abs(nothing[LEAK]) < 0.06
    assert abs(nothing[ADVERSARY] - 0.5) < 0.08
    assert nothing[COVARIATE] < 0.05
    assert nothing[ACCURACY] > 0.95  # the label is the sign of the first number
    everything = figures(torch.cat([noise[:, :1], c[:, None], 3.0 * site[:, None]], dim=1))
    assert everything[ADVERSARY] > 0.99
    assert everything[LEAK] > 0.2  # of the covariate alone: about 0.69
    assert min(everything[COVARIATE], everything[COVARIATE_ANYHOW]) > 0.95
    assert min(everything[DISCREPANCY], everything[CONDITIONAL]) > 20 * nothing[DISCREPANCY]


def test_reports_refuse() -> None:
    site, c = torch.arange(8) % 2, normal(8)
    rows = rows_of(normal(8, 2), site, c)
    with pytest.raises(ValueError, match=r"rows of at least two sites, got sites \[0\]"):
        pooling_report(rows._replace(site=0 * site), rows)
    with pytest.raises(ValueError, match=r"sites \[5\] are not among the fitted rows"):
        pooling_report(rows, rows._replace(site=torch.full((8,), 5)))
    with pytest.raises(ValueError, match=r"R\^2 of a constant is not defined"):
        explained_share(torch.ones(4, 1), torch.zeros(4, 1))


def test_shares_and_probes() -> None:
    numbers = torch.tensor([[0.0], [2.0], [4.0]])
    assert explained_share(numbers, numbers) == 1
    assert explained_share(numbers, torch.full((3, 1), 2.0)) == 0
    assert explained_share(numbers, numbers.flip(0)) == -3
    x = normal(400, 2)
    ring = (x.norm(dim=1) > 1.2).long()
    accuracy = [
        float((answer.argmax(dim=1) == ring[200:]).double().mean())
        for n in (0, 3)
        for answer in [probe(x[:200], ring[:200], x[200:], "class", num_layers=n, generator=seeded(0))]
    ]
    assert accuracy[0] < 0.75 < 0.9 < accuracy[1]
    exact = linear_answer(x[:200], 3 * x[:200, :1] - 2, x[200:])
    torch.testing.assert_close(exact, 3 * x[200:, :1] - 2)
    twice = torch.cat([x, x], dim=1)  # columns that say the same
    torch.testing.assert_close(linear_answer(twice[:200], 3 * x[:200, :1] - 2, twice[200:]), exact)


def test_heads_choose_within_the_fitted_rows() -> None:
    pytest.importorskip("sklearn")
    x, site = normal(90, 2), torch.arange(90) % 3
    label = (x[:, 0] > 0).long()
    assert (
        float((nested_head("linear head", x[:60], label[:60], site[:60], x[60:]) == label[60:]).double().mean()) > 0.9
    )
    with pytest.raises(ValueError, match="head must be one of"):
        nested_head("tree", x, label, site, x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"at least two classes to learn from, got \[0\]"):
        nested_head("linear head", x, 0 * label, site, x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"site": torch.zeros(12).long()}, r"site is \[0\] in every row: pooling needs at least two sites"),
        ({"label": (torch.arange(12) >= 6).long()}, "all 6 rows of site 0 are of class 0: .*Leave the site out"),
        ({"covariate": torch.arange(12.0) * (torch.arange(12) < 6)}, r"covariate 0 is constant \(0\) within site 1"),
        ({"covariate": torch.full((12,), torch.nan)}, "covariate has values that are not finite"),
        ({"covariate": torch.zeros(11)}, "a label, a site and a covariate for each row, got .*'covariate': 11"),
    ],
)
def test_sites_that_cannot_be_pooled(change: dict[str, Tensor], message: str) -> None:
    good = {"x": torch.ones(12, 2), "label": torch.arange(12) % 2, "site": torch.arange(12) // 6}
    good["covariate"] = torch.arange(12.0)
    check_sites(**good)
    with pytest.raises(ValueError, match=message):
        check_sites(**good | change)


def test_two_stages_are_fitted_to_rows_of_a_user() -> None:
    site = torch.tensor([3, 8]).repeat(60)
    c = normal(120)
    x = torch.stack([c + 0.5 * (site == 8), normal(120, seed=1), normal(120, seed=2)], dim=1)
    label = (x[:, 1] > 0).long()
    pooling = TwoStagePooling(
        latent_dim=4, hidden_dim=16, num_layers=1, steps=200, batch_size=48, learning_rate=1e-2, seed=1
    )
    with pytest.raises(ValueError, match="nothing is fitted yet: call fit first"):
        pooling.represent(x)
    report = pooling.fit(x, label, site, c)
    assert report.metadata == {"rows": 24, "sites": 2, "seed": 1}
    assert tuple(report.rows[0]) == FIGURES
    assert pooling.represent(x).shape == (120, 4)
    torch.testing.assert_close(pooling.represent(x[:1]), pooling.represent(x)[:1])  # a batch of one is no special case
    assert float((pooling.predict(x) == label).double().mean()) > 0.7
    for wrong, message in (
        ((x, label, 0 * site, c), r"site is \[0\] in every row"),
        ((x, label - 1, site, c), "classes must be 0, 1, ..., got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            TwoStagePooling(steps=2).fit(*wrong)
    with pytest.raises(ValueError, match="batch_size and steps must be at least 2, got 1 and 2000"):
        TwoStagePooling(batch_size=1)
