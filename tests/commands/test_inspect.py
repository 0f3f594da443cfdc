import json


def test_every_byte_is_accounted_for(run, compressed):
    result = run("inspect", compressed, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    n_bytes = compressed.stat().st_size
    assert facts["bytes"] == n_bytes
    assert sum(facts["sections_bits"].values()) == 8 * n_bytes
    assert (
        sum(row["index_bits"] for row in facts["tensors"]) == facts["sections_bits"]["index_bits"]
    )
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
