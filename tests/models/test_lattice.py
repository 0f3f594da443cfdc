import copy

import pytest
import torch

from irec.models.exact import put_on_grid
from irec.models.lattice import PHASES, context_of, neighbours_of
from irec.models.lattice_rvae import LatticeRVAE, LatticeRVAEConfig
from irec.models.sources import KnownPixels, Place, PosteriorSampler, PriorSampler, SampledPixels


@pytest.fixture
def model():
    model = LatticeRVAE(LatticeRVAEConfig(8, 2, (1, 1), (2,), 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


class Recording(KnownPixels):
    """Remembers the places and means that it was asked for."""

    def __init__(self, image):
        super().__init__(image)
        self.asked = []

    def __call__(self, parameters, place):
        self.asked.append((place, parameters))
        return super().__call__(parameters, place)


def generate(model, image, source):
    size = tuple(image.shape[2:])
    grey = torch.zeros(len(image), dtype=image.dtype)
    return model.generate(lambda prior, _posterior, _tensor: prior.loc, source, size, grey)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (7, 5), (64, 33), (65, 66)])
def test_every_pixel_is_asked_for_once(model, size):
    image = torch.randint(0, 256, (2, 3, *size)).float()
    source = Recording(image)
    assert torch.equal(generate(model, image, source), image)
    asked = torch.zeros(size)
    for place, _ in source.asked:
        place.cut(asked).add_(1)
    assert (asked == 1).all()


def test_no_phase_sees_pixels_that_come_later(model):
    # In exact arithmetic, so that nothing but pixels can make a difference.
    exact = copy.deepcopy(model).double()
    put_on_grid(exact)
    image = torch.randint(0, 256, (1, 3, 16, 16)).double()
    as_it_is = Recording(image)
    with torch.no_grad():
        generate(exact, image, as_it_is)
        known = torch.zeros(len(as_it_is.asked), 1, 16, 16, dtype=torch.bool)
        for phase, (place, _) in enumerate(as_it_is.asked):
            place.cut(known[phase + 1 :])[:] = True
        # Image n of the batch is changed wherever phase n must not look.
        changed = Recording(torch.where(known, image, 255 - image))
        generate(exact, changed.image, changed)
    for phase, ((_, before), (_, after)) in enumerate(
        zip(as_it_is.asked, changed.asked, strict=True)
    ):
        assert torch.equal(before.mean[0], after.mean[phase])
        assert torch.equal(before.logit[0], after.logit[phase])


def test_neighbours_are_known_and_nearest_first():
    for phase in range(len(PHASES)):
        found = neighbours_of(phase)
        assert len(found) == len(set(found))
        assert {neighbour.plane for neighbour in found} == set(range(phase + 1))
        row, column = PHASES[phase]
        planes = ((0, 0), *PHASES)
        distances = [
            (2 * n.down + planes[n.plane][0] - row) ** 2
            + (2 * n.right + planes[n.plane][1] - column) ** 2
            for n in found
        ]
        assert distances == sorted(distances)
        assert distances[3] < distances[4]


def test_the_classical_prediction_is_the_mean_of_the_four_nearest():
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    image = (3 * rows + 5 * columns).expand(1, 3, 16, 16)
    planes = [Place(2, 0, 0).cut(image)]
    for phase, (row, column) in enumerate(PHASES):
        truth = Place(2, row, column).cut(image)
        inside = (..., slice(2, -2), slice(2, -2))
        torch.testing.assert_close(context_of(planes, phase).base[inside], truth[inside])
        planes.append(truth)


def test_a_fresh_model_is_the_classical_predictor():
    model = LatticeRVAE(LatticeRVAEConfig(8, 2, (1, 1)))
    image = torch.full((1, 3, 32, 32), 77.0)
    source = Recording(image)
    generate(model, image, source)
    for _, parameters in source.asked[1:]:
        assert (parameters.mean - 77.0).abs().max() < 0.5


def test_float64_is_the_same_for_all_threads_and_batches(model):
    exact = copy.deepcopy(model).double()
    put_on_grid(exact)
    image = torch.randint(0, 256, (3, 3, 40, 24)).double()
    together, alone = Recording(image), Recording(image[1:2])
    threads = torch.get_num_threads()
    try:
        with torch.no_grad():
            torch.set_num_threads(2)
            generate(exact, image, together)
            torch.set_num_threads(1)
            generate(exact, image[1:2], alone)
    finally:
        torch.set_num_threads(threads)
    for (_, many), (_, one) in zip(together.asked, alone.asked, strict=True):
        assert torch.equal(many.mean[1:2], one.mean)
        assert torch.equal(many.log_scale[1:2], one.log_scale)
        assert torch.equal(many.logit[1:2], one.logit)


def test_float64_means_what_training_means(model):
    exact = copy.deepcopy(model).double()
    put_on_grid(exact)
    image = torch.randint(0, 256, (1, 3, 40, 24)).float()
    coarse, fine = KnownPixels(image), KnownPixels(image.double())
    with torch.no_grad():
        generate(model, image, coarse)
        generate(exact, image.double(), fine)
    assert sum(fine.nats).item() == pytest.approx(sum(coarse.nats).item(), rel=1e-3)


def test_grey_images_cost_one_channel(model):
    grey = torch.randint(0, 256, (1, 1, 16, 16)).float().expand(-1, 3, -1, -1)
    one, three = KnownPixels(grey, 1), KnownPixels(grey)
    with torch.no_grad():
        generate(model, grey, one)
        generate(model, grey, three)
    assert sum(one.nats).item() < 0.6 * sum(three.nats).item()


def test_samples_are_images(model):
    with torch.no_grad():
        image = model.generate(PriorSampler(), SampledPixels((20, 13)), (20, 13), torch.zeros(2))
    assert image.shape == (2, 3, 20, 13)
    assert ((image >= 0) & (image <= 255) & (image == image.round())).all()


def test_training_reaches_every_parameter(model):
    image = torch.randint(0, 256, (2, 3, 32, 32)).float()
    latents, known = PosteriorSampler(), KnownPixels(image)
    grey = torch.tensor([0.0, 1.0])
    model.generate(latents, known, (32, 32), grey, image)
    loss = sum(nats.sum() for nats in known.nats) + sum(kl.sum() for kl in latents.kl_nats)
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
