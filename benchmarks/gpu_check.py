"""Ten minutes with a GPU: does it train, do its files decode elsewhere, and how fast is it?

    python benchmarks/gpu_check.py

Prints a table and ends with exit code 1 where a file made on one device does not decode to the same
image on the other. Without a GPU it says so and does nothing.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from irec.codec import Codec, make_codec
from irec.defaults import SAMPLES
from irec.images import image_paths, read_image
from irec.models.zoo import installed_checkpoints, load_checkpoint

CONFIGS = Path(__file__).parent.parent / "lightning_configs"
_GPU = ("--trainer.accelerator=gpu", "--trainer.devices=1")


def main() -> int:
    """Run all checks; returns the exit code."""
    if not torch.cuda.is_available():
        print("no GPU that this PyTorch can use; nothing was checked")
        return 0
    table = Table(title=torch.cuda.get_device_name())
    for heading in ("check", "result", "seconds"):
        table.add_column(heading)
    results = [_row(table, name, check) for name, check in _checks()]
    Console().print(table)
    return 0 if all(results) else 1


def _row(table: Table, name: str, check: Callable[[], str]) -> bool:
    start = time.perf_counter()
    try:
        result, is_good = check(), True
    except Exception as error:
        result, is_good = f"FAILED: {error}", False
    table.add_row(name, result, f"{time.perf_counter() - start:.1f}")
    return is_good


def _checks() -> list[tuple[str, Callable[[], str]]]:
    checks: list[tuple[str, Callable[[], str]]] = []
    for name in (one.name for one in installed_checkpoints()):
        for there, back in (("cuda", "cpu"), ("cpu", "cuda")):
            title = f"{name}: {there} -> {back}"
            checks.append((title, lambda n=name, a=there, b=back: _cross(n, a, b)))
    faster = ("--trainer.precision=bf16-mixed", "--model.channels_last=true")
    for config, options in (
        ("rvae_small", ()),
        ("rvae_small", faster),
        ("rvae_small", (*faster, "--model.compile_model=true")),
        ("transform_vae", faster),
    ):
        title = f"fit {config}, 60 steps {' '.join(options)}"
        checks.append((title, lambda c=config, o=options: _fit(c, o)))
    checks.append(("fit rvae, the paper's size, 20 steps and 20 more", _resume))
    checks.append(("predict, three photographs", _predict))
    return checks


def _cross(name: str, there: str, back: str) -> str:
    """Encode on one device and decode on the other: lossless files exactly, lossy ones nearly."""
    checkpoint = load_checkpoint(name)
    encoder: Codec = make_codec(checkpoint, effort=3, device=there)
    decoder: Codec = make_codec(checkpoint, device=back)
    n_bytes, worst = 0, 0
    for path in image_paths(SAMPLES):
        image = read_image(path)[:256, :256]
        encoded = encoder.encode(image)
        decoded = decoder.decode(encoded.data)
        n_bytes += len(encoded.data)
        worst = max(worst, int(np.abs(decoded.astype(int) - encoded.pixels).max()))
    if worst > (1 if encoder.profile.is_lossy else 0):
        raise AssertionError(f"differs by up to {worst} grey levels")
    return f"{n_bytes:,} bytes, at most {worst} grey levels apart"


def _fit(config: str, options: tuple[str, ...]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return _irec([*_training(config), "--trainer.max_steps=60", *options], folder)


def _resume() -> str:
    """Train, stop, and go on: the second run says where it ends."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*_training("rvae"), "--data.crop_size=32", "--data.batch_size=64"]
        command += ["--trainer.precision=bf16-mixed", "--trainer.check_val_every_n_epoch=1"]
        _irec([*command, "--trainer.max_steps=20"], folder)
        return _irec([*command, "--trainer.max_steps=40"], folder)


def _training(config: str) -> list[str]:
    data = "--data=irec.datamodules.image_folder.ImageFolderDataModule"
    arguments = ["fit", f"--config={CONFIGS / config}.yaml", data]
    arguments += [f"--data.train=[{SAMPLES}]", f"--data.val=[{SAMPLES}]", "--data.n_workers=2"]
    arguments += [f"--trainer.logger={CONFIGS / 'logger' / 'csv.yaml'}"]
    return [*arguments, *_GPU]


def _predict() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return _irec(["predict", *_GPU], folder)


def _irec(arguments: list[str], folder: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "irec", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr.strip().splitlines()[-1])
    told = [line for line in done.stdout.splitlines() if line.startswith(("epoch", "coffee"))]
    return told[-1] if told else "done"


if __name__ == "__main__":
    sys.exit(main())
