import copy

import pytest
import torch
from torch import nn

from irec.lightning_modules.muon import Muon, hidden_kernels, orthogonalised, others


@pytest.mark.parametrize("shape", [(16, 16), (8, 72), (64, 16)])
def test_singular_values_come_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)).float())
    assert values.min() > 0.5
    assert values.max() < 1.35


def test_directions_stay():
    torch.manual_seed(0)
    matrix = torch.randn(8, 40)
    found = orthogonalised(matrix).float()
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), dim=0) > 0.97


def test_kernels_are_those_of_hidden_convolutions():
    model = nn.ModuleDict(
        {
            "enter": nn.Conv2d(3, 4, 1),
            "blocks": nn.ModuleList([nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 4, 2)]),
            "leave": nn.Conv2d(4, 1, 1),
        }
    )
    kernels = hidden_kernels(model, ("enter", "leave"))
    assert [id(kernel) for kernel in kernels] == [id(layer.weight) for layer in model["blocks"]]
    rest = others(model.parameters(), kernels)
    assert len(rest) == len(list(model.parameters())) - 2


def test_updates_of_both_kinds_are_of_one_size():
    torch.manual_seed(0)
    kernel, bias = nn.Parameter(torch.zeros(16, 16, 3, 3)), nn.Parameter(torch.zeros(50))
    optimizer = Muon([kernel], [{"params": [bias], "lr": 0.1}])
    kernel.grad, bias.grad = torch.randn_like(kernel), torch.full_like(bias, 3.0)
    optimizer.step()
    assert kernel.square().mean().sqrt().item() == pytest.approx(0.02, rel=0.2)
    torch.testing.assert_close(bias.detach(), torch.full((50,), -0.1))


def test_it_learns_a_convolution_and_resumes_alike():
    torch.manual_seed(0)
    truth, images = nn.Conv2d(4, 4, 3), torch.randn(8, 4, 12, 12)
    target = truth(images).detach()

    def run(n_steps: int, layer: nn.Conv2d, optimizer: Muon) -> float:
        for _ in range(n_steps):
            loss = (layer(images) - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    def start(layer: nn.Conv2d) -> Muon:
        return Muon([layer.weight], [{"params": [layer.bias], "lr": 0.02}])

    layer = nn.Conv2d(4, 4, 3)
    first = (layer(images) - target).square().mean().item()
    optimizer = start(layer)
    run(60, layer, optimizer)
    resumed = nn.Conv2d(4, 4, 3)
    resumed.load_state_dict(layer.state_dict())
    again = start(resumed)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    last = run(20, layer, optimizer)
    assert last < 0.02 * first
    assert run(20, resumed, again) == pytest.approx(last, rel=1e-6)
