"""What holds where nobody says otherwise; a leaf, since ``irec --help`` shows it at once."""

from pathlib import Path

DEFAULT_CHECKPOINT = "rvae-photo"
DEFAULT_LOSSY_CHECKPOINT = "transform-vae-photo"
# Of encoding, 1 to 9.
DEFAULT_EFFORT = 5
# Of lossy models of many qualities, 0 to 100.
DEFAULT_QUALITY = 50.0
# Three photographs to try irec on; the module beside them imports Lightning.
SAMPLES = Path(__file__).parent / "datamodules" / "samples"
