import pytest
from lightning.pytorch.trainer.states import TrainerFn

from irec.datamodules.samples import SampleImagesDataModule
from irec.defaults import SAMPLES
from irec.errors import DataError


def test_three_photographs_are_bundled():
    data = SampleImagesDataModule()
    data.setup("predict")
    images = [image for batch in data.predict_dataloader() for image in batch.images]
    assert [(image.name, image.pixels.shape) for image in images] == [
        ("astronaut.png", (512, 512, 3)),
        ("chelsea.png", (300, 451, 3)),
        ("coffee.png", (400, 600, 3)),
    ]
    # They travel in every wheel.
    assert sum(path.stat().st_size for path in SAMPLES.iterdir() if path.is_file()) < 1_500_000


@pytest.mark.parametrize(
    ("stage", "name"), [("fit", "fit"), ("validate", "validate"), (TrainerFn.TESTING, "test")]
)
def test_they_are_no_training_set(stage, name):
    with pytest.raises(DataError, match=f"for {name} name your own images"):
        SampleImagesDataModule().setup(stage)
