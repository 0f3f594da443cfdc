import json

import pytest


def test_every_byte_is_accounted_for(run, compressed):
    result = run("inspect", compressed, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    n_bytes = compressed.stat().st_size
    assert facts["bytes"] == n_bytes
    assert sum(facts["sections_bits"].values()) == 8 * n_bytes
    assert sum(row["index_bits"] for row in facts["tensors"]) == facts["sections_bits"]["indices"]
    assert (facts["height"], facts["width"], facts["channels"]) == (6, 9, 3)
    assert facts["mode"] == "lossless"
    assert facts["checkpoint"] == "tiny"


def test_table_shows_the_same_numbers(run, compressed):
    result = run("inspect", compressed)
    assert result.exit_code == 0, result.stderr
    assert "9x6 RGB, lossless" in result.stdout
    assert "tiny (fingerprint" in result.stdout
    (total,) = (line for line in result.stdout.splitlines() if line.strip().startswith("total"))
    bits = 8 * compressed.stat().st_size
    assert total.split()[1:] == [f"{bits:,}", f"{bits / 8:,.3f}", "100.00%"]


def test_several_files_one_object_a_line(run, images, compressed):
    assert run("compress", images / "inner/b.png").exit_code == 0
    result = run("inspect", compressed, images / "inner/b.irec", "--json")
    facts = [json.loads(line) for line in result.stdout.splitlines()]
    assert [fact["colour"] for fact in facts] == ["RGB", "greyscale"]


def test_bad_files_are_reported_and_the_others_shown(run, images, compressed):
    result = run("inspect", images / "absent.irec", images / "a.png", compressed)
    assert result.exit_code == 1
    assert "absent.irec: no such file" in result.stderr
    assert "a.png: this is not an .irec file" in result.stderr
    assert "9x6 RGB" in result.stdout


def test_without_the_model_the_header_is_told(run, compressed):
    result = run("inspect", compressed, use_checkpoint=False)
    assert result.exit_code == 1
    assert "holds an image of 9x6 RGB, but" in result.stderr


def test_a_lossy_file_tells_its_rate_and_accounts_for_every_byte(run_lossy, lossy_file):
    result = run_lossy("inspect", lossy_file, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    n_bytes = lossy_file.stat().st_size
    assert facts["bytes"] == n_bytes
    assert sum(facts["sections_bits"].values()) == 8 * n_bytes
    sent = [row["index_bits"] for row in facts["tensors"]]
    assert len(sent) == 5  # z2, and four groups of channels of z1
    assert sum(sent) == facts["sections_bits"]["indices"] > 0
    assert "residual" not in facts["sections_bits"]
    assert (facts["mode"], facts["quality"], facts["lambda"]) == ("lossy", 100.0, 0.05)
    assert (facts["height"], facts["width"], facts["channels"]) == (70, 100, 3)
    shown = run_lossy("inspect", lossy_file).stdout
    assert f"{n_bytes:,} bytes, {8 * n_bytes / 7000:.4f} bits per pixel" in shown
    assert "100x70 RGB, lossy" in shown
    assert "quality 100, lambda 0.05" in shown
    assert f"{8 * n_bytes:,}" in next(line for line in shown.splitlines() if "  total" in line)


def test_a_lossy_model_of_one_rate_has_no_quality(run_lossy, photo, one_rate_checkpoint):
    assert run_lossy("compress", photo, checkpoint=one_rate_checkpoint).exit_code == 0
    path = photo.with_suffix(".irec")
    facts = json.loads(run_lossy("inspect", path, "--json", checkpoint=one_rate_checkpoint).stdout)
    assert (facts["quality"], facts["lambda"]) == (None, 0.02)
    shown = run_lossy("inspect", path, checkpoint=one_rate_checkpoint).stdout
    assert "lambda 0.02" in shown
    assert "quality" not in shown


def test_a_lossy_file_cut_off_is_one_line(run_lossy, lossy_file):
    lossy_file.write_bytes(lossy_file.read_bytes()[:-2])
    result = run_lossy("inspect", lossy_file)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "photo.irec: " in result.stderr
    assert "the file ends early" in result.stderr


@pytest.mark.parametrize("change", [lambda data: data[:-5], lambda data: data + data])
def test_a_lossless_file_with_another_end_is_not_accounted_for(run, compressed, change):
    compressed.write_bytes(change(compressed.read_bytes()))
    result = run("inspect", compressed)
    assert result.exit_code == 1
    assert "ends too early, something follows its end" in result.stderr
    assert "residual" not in result.stdout
