"""Lossy predict on several processes and after a kill: files and figures stay the same."""

import json
import signal

import pytest
from PIL import Image

from tests.pictures import picture
from tests.processes import on_processes, predict_arguments, run, start
from tests.test_predict_processes import files, results

LOSSY = [
    "--model=irec.lightning_modules.two_level_vae.TwoLevelVAEModule",
    "--coder.qualities=[0,100]",
    "--coder.ideal_samples=1",
    "--data.predict_batch_size=2",
]
N_IMAGES = 7


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Images of three sizes and all kinds."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(N_IMAGES):
        size = [(16, 16), (70, 40), (12, 20)][seed % 3]
        name = folder / ("inner" if seed % 2 else ".") / f"{seed:02d}.png"
        name.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(*size, 1 + seed % 4, seed).squeeze()).save(name)
    return folder


def arguments_for(checkpoint, pictures, *more):
    command, *options = predict_arguments(checkpoint, pictures, "out", *LOSSY[1:], *more)
    # The model's class comes before its options.
    return [command, LOSSY[0], *options]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, tiny_lossy_checkpoint, pictures):
    """What one process makes of them."""
    folder = tmp_path_factory.mktemp("unbroken")
    run(*arguments_for(tiny_lossy_checkpoint, pictures), cwd=folder)
    return folder / "out"


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_give_the_same_files_and_table(
    tiny_lossy_checkpoint, pictures, unbroken, tmp_path
):
    arguments = arguments_for(tiny_lossy_checkpoint, pictures, *on_processes(2))
    printed, _ = run(*arguments, cwd=tmp_path)
    assert len(files(unbroken)) == 2 * N_IMAGES
    assert files(tmp_path / "out") == files(unbroken)
    found, expected = results(tmp_path / "out"), results(unbroken)
    for document in (found, expected):
        for point in document["operating_points"]:
            del point["encode_s"], point["decode_s"]
    assert found == expected
    assert printed.count(f"mean of {N_IMAGES}") == 2
    curve = "rate_distortion.csv"
    assert (tmp_path / "out" / curve).read_text() == (unbroken / curve).read_text()


@pytest.mark.slow
@pytest.mark.ddp
def test_impossible_qualities_are_one_line_on_two_processes(
    tiny_lossy_checkpoint, pictures, tmp_path
):
    more = ["--coder.qualities=[101]", *on_processes(2)]
    _, errors = run(*arguments_for(tiny_lossy_checkpoint, pictures, *more), cwd=tmp_path, code=1)
    assert "0 to 100, not 101" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tiny_lossy_checkpoint, pictures, unbroken, tmp_path):
    arguments = arguments_for(tiny_lossy_checkpoint, pictures, "--trainer.devices=1")
    process = start(*arguments, cwd=tmp_path)
    # Lines are printed after their files are written; the fifth is the second batch's first.
    for _ in range(5):
        assert " dB, " in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    out = tmp_path / "out"
    assert not (out / "results.json").exists()
    lines = (out / "unfinished-0.jsonl").read_text().splitlines()
    measured = [json.loads(line)["row"] for line in lines if line.endswith("}")]
    assert 5 <= len(measured) < 2 * N_IMAGES
    survivors = {path: path.stat().st_mtime_ns for path in out.rglob("*.irec")}
    # One quality of an image is damaged: both of it, and the rest of its batch, are done again.
    first = measured[0]
    damaged = (out / f"quality_{first['quality']:g}" / first["name"]).with_suffix(".irec")
    damaged.write_bytes(damaged.read_bytes()[:-1])

    printed, _ = run(*arguments, cwd=tmp_path)
    n_kept = 4 * (len(measured) // 4) - 4
    assert printed.count(", kept\n") == n_kept
    assert files(out) == files(unbroken)
    assert not list(out.glob("unfinished-*"))
    seconds = {
        (row["name"], row["quality"]): row["encode_s"]
        for row in results(out, with_seconds=True)["images"]
    }
    for row in measured[4 : 4 + n_kept]:
        path = (out / f"quality_{row['quality']:g}" / row["name"]).with_suffix(".irec")
        assert path.stat().st_mtime_ns == survivors[path]
        assert seconds[row["name"], row["quality"]] == row["encode_s"]
