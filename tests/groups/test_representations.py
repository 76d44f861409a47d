import pytest
import torch

from rapidash._seed import seeded
from rapidash.groups import SE, DirectSum, Position, Representation, Scalar, Tensor2, Vector


def test_a_direct_sum_acts_part_by_part() -> None:
    both = DirectSum(((Scalar(), 1), (Vector(), 3), (Position(), 3)))
    g = SE(3).sample(5, generator=seeded(0))
    x = torch.randn(5, 7, generator=seeded(1), dtype=torch.float64)
    expected = torch.cat([x[:, :1], Vector().act(g, x[:, 1:4]), Position().act(g, x[:, 4:])], dim=1)
    torch.testing.assert_close(both.act(g, x), expected)
    torch.testing.assert_close(both.act(g[0], x)[0], expected[0])
    assert not torch.allclose(both.act(g, x)[:, 1:4], both.act(g, x)[:, 4:] - x[:, 4:] + x[:, 1:4])


def test_a_direct_sum_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="last axis has 3 entries"):
        DirectSum(((Scalar(), 1), (Vector(), 3))).act(SE(3).identity(), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="needs parts"):
        DirectSum(())


@pytest.mark.parametrize("representation", [Vector(), Position(), Tensor2()], ids=str)
def test_a_field_of_another_dimension_is_refused(representation: Representation) -> None:
    with pytest.raises(ValueError, match=r"cannot be moved by a group on R\^3: its last axis must have 3 components"):
        representation.act(SE(3).identity(), torch.zeros(4, 2, 2))
    with pytest.raises(ValueError, match=r"a field with shape \(\) cannot be moved"):
        Vector().act(SE(3).identity(), torch.zeros(()))
