import errno
import mmap
import multiprocessing
import os
import shutil
from collections import namedtuple

import numpy as np
import pytest
from PIL import Image

from irec.datamodules import image_files
from irec.datamodules.image_store import decoded_once, map_store, write_images, write_store
from irec.errors import DataError
from irec.files import OutputFileError
from tests.pictures import noise

IMAGES = [("a", noise(5, 7, 3)), ("b", noise(1, 1, 3)), ("c", noise(8, 2, 3, seed=1))]


def test_images_come_back_mapped(tmp_path):
    write_store(tmp_path / "store", 3, IMAGES)
    images = map_store(tmp_path / "store")
    assert [name for name, _ in images] == ["a", "b", "c"]
    for (_, pixels), (_, expected) in zip(images, IMAGES, strict=True):
        np.testing.assert_array_equal(pixels, expected)
        assert not pixels.flags.owndata
    assert not list(tmp_path.glob("*.part"))


def test_another_number_of_images_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="store: 3 images are there, expected 4"):
        write_store(tmp_path / "store", 4, IMAGES)
    assert not list(tmp_path.iterdir())


def test_absent_and_damaged_stores_are_named(tmp_path):
    with pytest.raises(DataError, match="absent: no images there"):
        map_store(tmp_path / "absent")
    write_store(tmp_path / "store", 3, IMAGES)
    with (tmp_path / "store/pixels.bin").open("ab") as out:
        out.write(b"?")
    with pytest.raises(DataError, match=r"store: damaged .* delete it"):
        map_store(tmp_path / "store")


def test_batches_become_one_file(tmp_path):
    images = noise(7, 4, 6, 3)
    path = tmp_path / "images.npy"
    # Transposed, as the planes of published batches are.
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    write_images(path, images.shape, [planes[:4], images[4:6], images[6:]])
    np.testing.assert_array_equal(np.load(path), images)
    assert [found.name for found in tmp_path.iterdir()] == ["images.npy"]


@pytest.mark.parametrize("n_images", [6, 8])
def test_another_number_of_images_in_batches_leaves_nothing(tmp_path, n_images):
    with pytest.raises(DataError, match=rf"7 images are there, expected {n_images}"):
        write_images(tmp_path / "images.npy", (n_images, 4, 6, 3), [noise(7, 4, 6, 3)])
    assert not list(tmp_path.iterdir())


def fail(descriptor):
    raise OSError(errno.ENOSPC, "No space")


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100))
    with pytest.raises(DataError, match="the disk is too full"):
        write_images(tmp_path / "images.npy", (7, 4, 6, 3), [noise(7, 4, 6, 3)])
    monkeypatch.undo()
    (tmp_path / ".images.npy.part").write_bytes(b"left by a killed process")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputFileError, match=r"cannot write .*images\.npy: the disk is full"):
        write_images(tmp_path / "images.npy", (7, 4, 6, 3), [noise(7, 4, 6, 3)])
    assert not list(tmp_path.iterdir())


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for name, pixels in (("a", noise(6, 9, 3)), ("b", noise(5, 5, 3, seed=1))):
        Image.fromarray(pixels).save(tmp_path / f"photos/{name}.png")
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that this process decodes, in order."""
    names, read = [], image_files.read_image
    monkeypatch.setattr(image_files, "read_image", lambda p: names.append(p.name) or read(p))
    return names


def is_mapped(pixels):
    while isinstance(pixels, np.ndarray):
        pixels = pixels.base
    return isinstance(pixels, mmap.mmap)


def test_every_source_is_mapped_in_its_place(tmp_path, photos):
    np.save(tmp_path / "array.npy", noise(2, 4, 4, 3))
    sources = [str(tmp_path / "array.npy"), str(photos), str(photos / "b.png")]
    images = decoded_once(sources, [1.0], tmp_path / "decoded")
    expected = [*noise(2, 4, 4, 3), noise(6, 9, 3), *[noise(5, 5, 3, seed=1)] * 2]
    for image, pixels in zip(images, expected, strict=True):
        np.testing.assert_array_equal(image, pixels)
        assert is_mapped(image)


def test_each_image_is_followed_by_its_smaller_copies(tmp_path, photos):
    np.save(tmp_path / "array.npy", noise(1, 8, 4, 3))
    sources = [str(tmp_path / "array.npy"), str(photos)]
    images = decoded_once(sources, [1.0, 0.5], tmp_path / "decoded")
    shapes = [(8, 4, 3), (4, 2, 3), (6, 9, 3), (3, 4, 3), (5, 5, 3), (2, 2, 3)]
    assert [image.shape for image in images] == shapes
    halved = Image.fromarray(noise(6, 9, 3)).resize((4, 3), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(images[3], np.asarray(halved))


def test_what_was_decoded_is_kept_until_a_file_is_another(tmp_path, photos, decoded):
    for _ in range(2):
        decoded_once([str(photos)], [1.0], tmp_path / "decoded")
    assert decoded == ["a.png", "b.png"]
    (old,) = (tmp_path / "decoded").glob("photos-*/*/pixels.bin")
    Image.fromarray(noise(7, 7, 3)).save(photos / "b.png")
    _, changed = decoded_once([str(photos)], [1.0], tmp_path / "decoded")
    np.testing.assert_array_equal(changed, noise(7, 7, 3))
    (photos / "a.png").unlink()
    assert len(decoded_once([str(photos)], [1.0], tmp_path / "decoded")) == 1
    # What nobody will ask for any more does not fill the disk.
    assert not old.exists()
    assert len(list((tmp_path / "decoded").glob("photos-*/*/pixels.bin"))) == 1


def test_an_image_that_cannot_be_read_is_named_and_leaves_nothing(tmp_path, photos):
    (photos / "c.png").write_bytes(b"?")
    with pytest.raises(DataError, match=r"c\.png: not an image"):
        decoded_once([str(photos)], [1.0], tmp_path / "decoded")
    with pytest.raises(DataError, match=r"absent\.png: No such file"):
        decoded_once([str(tmp_path / "absent.png")], [1.0], tmp_path / "decoded")
    assert not list((tmp_path / "decoded").glob("*/*/"))


def decode_beside_another(source, root, barrier, answers):
    """What a rank does: says what it decoded itself, and what it has of it."""
    names, read = [], image_files.read_image
    image_files.read_image = lambda path: names.append(path.name) or read(path)
    barrier.wait()
    images = decoded_once([source], [1.0], root)
    inode = os.stat(next(root.glob("*/*/pixels.bin"))).st_ino
    answers.put((names, [image.tobytes() for image in images], all(map(is_mapped, images)), inode))


@pytest.mark.ddp
def test_of_two_processes_one_decodes(tmp_path, photos):
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    arguments = (str(photos), tmp_path / "decoded", barrier, answers)
    ranks = [context.Process(target=decode_beside_another, args=arguments) for _ in range(2)]
    for rank in ranks:
        rank.start()
    first, second = answers.get(timeout=200), answers.get(timeout=200)
    for rank in ranks:
        rank.join()
    assert sorted([first[0], second[0]]) == [[], ["a.png", "b.png"]]
    assert first[1:] == second[1:]
    assert first[1] == [noise(6, 9, 3).tobytes(), noise(5, 5, 3, seed=1).tobytes()]
    assert first[2]
