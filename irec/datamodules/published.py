"""What published data sets share: each part of one is fetched and made once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.trainer.states import TrainerFn

from irec.datamodules.base import ImageDataModule
from irec.datamodules.batches import ImageListDataset
from irec.datamodules.datasets import ImageDataset
from irec.datamodules.download import locked


class PublishedDataModule(ImageDataModule, ABC):
    """Base class of sets of two parts: "train", flipped at random, and one for all else.

    Attributes:
        held_out: Name of the other part.
    """

    held_out = "valid"

    def __init__(
        self,
        root: str,
        download: bool = True,
        batch_size: int = 32,
        predict_batch_size: int = 16,
        max_val_images: int = 1000,
        **options: Any,
    ) -> None:
        """Say where the data set is and how much of it is used.

        Args:
            root: Folder that holds everything.
            download: Whether what is absent is downloaded.
            batch_size: Images per batch of training and evaluation.
            predict_batch_size: Images per batch of compression.
            max_val_images: Validate on at most the first so many images; test takes all.
            **options: Of :class:`ImageDataModule`.
        """
        super().__init__(batch_size, predict_batch_size, **options)
        self.root = Path(root)
        self.download = download
        self.max_val_images = max_val_images

    @abstractmethod
    def _is_made(self, part: str) -> bool:
        """Whether the part can be read."""

    @abstractmethod
    def _make(self, part: str) -> None:
        """Find or download the part's archive, and turn it into what is read."""

    @abstractmethod
    def _read(self, part: str) -> Sequence[np.ndarray] | np.ndarray:
        """Return the images of the part, uint8 [h, w, 3] each."""

    def prepare_data(self) -> None:
        """Download and convert what the run needs, once per machine.

        Raises:
            DataError: An archive is absent, damaged or another one.
        """
        # Outside of a run anything may follow.
        trains = self.trainer is None or self.trainer.state.fn in (None, TrainerFn.FITTING)
        for part in ("train", self.held_out) if trains else (self.held_out,):
            if not self._is_made(part):
                with locked(self.root):
                    if not self._is_made(part):
                        self._make(part)

    def setup(self, stage: str) -> None:
        """Read, or map into memory, what `stage` (fit, validate, test, predict) needs.

        Raises:
            DataError: It is absent or damaged.
        """
        if stage == "fit":
            self.train_set = self._dataset("train", is_random=True)
        if stage in ("fit", "validate"):
            self.val_set = self._dataset(self.held_out, at_most=self.max_val_images)
        elif stage == "test":
            self.test_set = self._dataset(self.held_out)
        else:
            self.predict_set = ImageListDataset(self._named())

    def _dataset(
        self, part: str, is_random: bool = False, at_most: int | None = None
    ) -> ImageDataset:
        return ImageDataset(self._read(part)[:at_most], is_random)

    def _named(self) -> list[tuple[str, np.ndarray]]:
        images = self._read(self.held_out)[: self.max_predict_images]
        return [(f"{self.held_out}_{index:05d}", image) for index, image in enumerate(images)]
