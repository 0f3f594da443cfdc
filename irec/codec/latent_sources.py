"""Encoding and decoding as latent sources: the coder plugged into a model's generative pass."""

from collections.abc import Sequence

from torch import Tensor
from torch.distributions import Normal

from irec.coding import (
    CoderSettings,
    SearchSettings,
    TensorCode,
    decode_batch,
    encode_batch,
)
from irec.progress import Progress


class EncodingSource:
    """Codes a sample of each posterior, and hands on what the decoder will decode.

    Attributes:
        codes: The codes of the batch for each latent tensor, in the order of the pass.
    """

    def __init__(
        self,
        seed: int,
        coder: CoderSettings,
        search: SearchSettings,
        progress: Progress | None = None,
    ) -> None:
        """Set up the source; the decoder needs the same `seed` and `coder`.

        Args:
            seed: Of the shared randomness.
            coder: What encoder and decoder agree on.
            search: How hard to look.
            progress: Hears of each tensor.
        """
        self.seed = seed
        self.coder = coder
        self.search = search
        self.progress = progress
        self.codes: list[list[TensorCode]] = []

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Encode, then decode by the decoder's own function: z is equal to the last bit."""
        if posterior is None:
            raise ValueError("EncodingSource needs a posterior: run the inference pass first")
        codes = encode_batch(
            posterior, prior, self.seed, tensor=tensor, coder=self.coder, search=self.search
        )
        self.codes.append(codes)
        if self.progress is not None:
            self.progress.add(1)
        return decode_batch(codes, prior, self.seed, tensor=tensor, coder=self.coder)


class DecodingSource:
    """Decodes the latent tensors of a batch."""

    def __init__(
        self,
        codes: Sequence[list[TensorCode]],
        seed: int,
        coder: CoderSettings,
        allow_prefix: bool = False,
    ) -> None:
        """Set up the source.

        Args:
            codes: As :attr:`EncodingSource.codes`.
            seed: The encoder's.
            coder: The encoder's.
            allow_prefix: Whether codes may lack their end.
        """
        self.seed = seed
        self.coder = coder
        self.allow_prefix = allow_prefix
        self._codes = codes

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Return a latent tensor; raises CorruptFileError for an impossible code."""
        return decode_batch(
            self._codes[tensor],
            prior,
            self.seed,
            tensor=tensor,
            coder=self.coder,
            allow_prefix=self.allow_prefix,
        )
