"""predict on several processes, killed and interrupted: files and figures stay the same."""

import json
import signal

import pytest
from PIL import Image

from tests.pictures import picture
from tests.processes import on_processes, predict_arguments, run, start

BATCH = "--data.predict_batch_size=4"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """13 images of three sizes and all kinds."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(13):
        size = [(16, 16), (16, 16), (12, 20)][seed % 3]
        channels = 1 + seed % 4
        name = folder / ("inner" if seed % 2 else ".") / f"{seed:02d}.png"
        name.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(*size, channels, seed).squeeze()).save(name)
    return folder


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, tiny_checkpoint, pictures):
    """What one process makes of them."""
    folder = tmp_path_factory.mktemp("unbroken")
    run(*predict_arguments(tiny_checkpoint, pictures, "out", BATCH), cwd=folder)
    return folder / "out"


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.irec"))}


def results(folder, with_seconds=False):
    document = json.loads((folder / "results.json").read_text())
    for row in [*document["images"], document["total"]]:
        for name in [name for name in row if name.endswith("_s") and not with_seconds]:
            del row[name]
    return document


@pytest.mark.slow
@pytest.mark.ddp
@pytest.mark.parametrize("n_processes", [2, 3])
def test_any_number_of_processes_gives_the_same_files_and_sums(
    tiny_checkpoint, pictures, unbroken, tmp_path, n_processes
):
    arguments = predict_arguments(tiny_checkpoint, pictures, "out", BATCH)
    printed, _ = run(*arguments, *on_processes(n_processes), cwd=tmp_path)
    assert len(files(unbroken)) == 13
    assert files(tmp_path / "out") == files(unbroken)
    assert results(tmp_path / "out") == results(unbroken)
    assert printed.count("all 13") == 1


@pytest.mark.slow
@pytest.mark.ddp
def test_more_processes_than_batches_is_no_error(tiny_checkpoint, pictures, unbroken, tmp_path):
    arguments = predict_arguments(tiny_checkpoint, pictures, "out", "--data.predict_batch_size=13")
    run(*arguments, cwd=tmp_path)
    one = results(tmp_path / "out"), files(tmp_path / "out")
    run(*arguments, *on_processes(2), cwd=tmp_path)
    assert (results(tmp_path / "out"), files(tmp_path / "out")) == one


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tiny_checkpoint, pictures, unbroken, tmp_path):
    arguments = predict_arguments(tiny_checkpoint, pictures, "out", BATCH, "--trainer.devices=1")
    process = start(*arguments, cwd=tmp_path)
    # Lines are printed after their files are written; the fifth is the second batch's first.
    for _ in range(5):
        assert " bpd, " in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    out = tmp_path / "out"
    assert not (out / "results.json").exists()
    survivors = {path: path.stat().st_mtime_ns for path in out.rglob("*.irec")}
    measured = [
        json.loads(line)["row"]
        for line in (out / "unfinished-0.jsonl").read_text().splitlines()
        if line.endswith("}")
    ]
    assert 5 <= len(measured) < 13
    # What the kill, or somebody, left behind: half a line, a damaged file, another's settings.
    with (out / "unfinished-1.jsonl").open("w") as file:
        file.write('{"settings": {"effort"')
    damaged = (out / measured[0]["name"]).with_suffix(".irec")
    damaged.write_bytes(damaged.read_bytes()[:-1])

    printed, _ = run(*arguments, cwd=tmp_path)
    assert printed.count(", kept\n") == 4 * (len(measured) // 4) - 4
    assert files(out) == files(unbroken)
    assert results(out) == results(unbroken)
    assert not list(out.glob("unfinished-*"))
    # Kept files are those of before, with the seconds that were measured then.
    seconds = {row["name"]: row["encode_s"] for row in results(out, with_seconds=True)["images"]}
    for row in measured[4 : 4 * (len(measured) // 4)]:
        path = (out / row["name"]).with_suffix(".irec")
        assert path.stat().st_mtime_ns == survivors[path]
        assert seconds[row["name"]] == row["encode_s"]


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_no_loss(tiny_checkpoint, pictures, unbroken, tmp_path):
    arguments = predict_arguments(tiny_checkpoint, pictures, "out", BATCH)
    process = start(*arguments, cwd=tmp_path)
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "irec: interrupted"
    assert "Traceback" not in errors
    printed, _ = run(*arguments, cwd=tmp_path)
    assert ", kept\n" in printed
    assert files(tmp_path / "out") == files(unbroken)


@pytest.mark.slow
def test_sigterm_is_an_end_too(tiny_checkpoint, pictures, tmp_path):
    process = start(*predict_arguments(tiny_checkpoint, pictures, "out", BATCH), cwd=tmp_path)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.splitlines()[-1] == "irec: terminated"
