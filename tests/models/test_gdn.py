import pytest
import torch

from irec.models.two_level_vae import GDN


def random_gdn(channels, inverse=False):
    layer = GDN(channels, inverse)
    with torch.no_grad():
        # Of either sign: only the squares count.
        layer.beta_root.normal_()
        layer.gamma_root.normal_()
    return layer.double()


def directly(layer, x):
    """Each value by the formula of arXiv 1511.06281, channel by channel."""
    beta, gamma = layer.beta_root.detach() ** 2 + 1e-6, layer.gamma_root.detach() ** 2
    out = torch.empty_like(x)
    for i in range(x.shape[1]):
        energy = beta[i] + sum(gamma[i, j] * x[:, j] ** 2 for j in range(x.shape[1]))
        out[:, i] = x[:, i] * energy**0.5 if layer.inverse else x[:, i] / energy**0.5
    return out


@pytest.mark.parametrize("inverse", [False, True])
def test_it_is_the_published_formula(inverse):
    layer, x = random_gdn(5, inverse), 10.0 * torch.randn(2, 5, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x), directly(layer, x))


def test_the_inverse_undoes_it_where_both_see_the_same_energy():
    x = torch.randn(1, 4, 2, 2, dtype=torch.float64)
    layer, inverse = random_gdn(4), random_gdn(4, inverse=True)
    inverse.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x) * inverse(x), x * x)


@pytest.mark.parametrize("inverse", [False, True])
def test_gradients_are_those_of_finite_differences(inverse):
    layer, x = random_gdn(3, inverse), torch.randn(1, 3, 2, 2, dtype=torch.float64)

    def output(x, beta_root, gamma_root):
        parameters = {"beta_root": beta_root, "gamma_root": gamma_root}
        return torch.func.functional_call(layer, parameters, (x,))

    values = (x, layer.beta_root.detach(), layer.gamma_root.detach())
    assert torch.autograd.gradcheck(output, tuple(value.requires_grad_() for value in values))


@pytest.mark.parametrize("inverse", [False, True])
def test_no_parameters_lead_to_roots_of_nothing_or_less(inverse):
    layer = random_gdn(3, inverse)
    with torch.no_grad():
        layer.beta_root.zero_()
        layer.gamma_root.mul_(-1.0)
    x = torch.zeros(1, 3, 2, 2, dtype=torch.float64).requires_grad_()
    layer(x).sum().backward()
    for value in (layer(x), x.grad, layer.beta_root.grad, layer.gamma_root.grad):
        assert value.isfinite().all()


def test_a_fresh_layer_can_learn_all_of_its_parameters():
    layer = GDN(4)
    layer(torch.randn(2, 4, 3, 3)).square().sum().backward()
    assert (layer.gamma_root.grad != 0).all()
    assert (layer.beta_root.grad != 0).all()
