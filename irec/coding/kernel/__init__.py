"""The beam search of one stream on a CPU, compiled: what :mod:`irec.coding.search` does in torch.

At each step, beams are taken some at a time, so that all of it happens in the processor's cache:
the sums of their ancestors are brought up to date, one matrix product scores their candidates, two
of each row of the codebook, and of each group of rows the best score is noted. Those are enough to
bound the worst score that stays, so that most candidates are never looked at again.

Where rounding to bytes hardly changes a score, as the products' factors tell beforehand, bytes are
multiplied, and only what stays is weighed in floats.

Imported by the encoder alone, and late: compiling takes seconds at the first use on a machine, and
the compiler itself is not small. Formulas and names are those of :mod:`irec.coding.search`.
"""

from irec.coding.kernel.stream import search_stream

__all__ = ["search_stream"]
