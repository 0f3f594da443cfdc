"""Running irec as people do: in processes of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

FOLDER = "irec.datamodules.image_folder.ImageFolderDataModule"


def start(*arguments, cwd, **environment):
    """Start ``python -m irec`` on one thread, so that results do not depend on the machine."""
    root = Path(__file__).parent.parent
    inherited = {name: value for name, value in os.environ.items() if name != "WANDB_API_KEY"}
    return subprocess.Popen(
        [sys.executable, "-m", "irec", *map(str, arguments)],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Shells have what they start in the background ignore Ctrl-C, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(*arguments, cwd, code=0, timeout=120, **environment):
    """Run it to its end; what it printed to stdout and to stderr."""
    process = start(*arguments, cwd=cwd, **environment)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == code, err
    return out, err


def predict_arguments(checkpoint, source, output_dir, *more):
    """Compress the images of `source` fast."""
    return [
        "predict",
        f"--model.checkpoint={checkpoint}",
        f"--data={FOLDER}",
        f"--data.predict=[{source}]",
        f"--output_dir={output_dir}",
        "--coder.effort=1",
        "--trainer.accelerator=cpu",
        *more,
    ]


def on_processes(n):
    """Options that make Lightning start so many."""
    return [f"--trainer.devices={n}", *(["--trainer.strategy=ddp"] if n > 1 else [])]
