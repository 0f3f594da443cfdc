"""Small data sets in the layouts in which publishers offer them."""

import io
import tarfile
import zipfile

import numpy as np
from PIL import Image


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def tar_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_of(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def oord2016(name, images):
    """train_32x32.tar or valid_32x32.tar, of PNGs in a folder."""
    folder = f"{name}_32x32"
    return tar_of({f"{folder}/{index:07d}.png": png(image) for index, image in enumerate(images)})


def batch_of(images):
    """Rows of 1024 red, 1024 green, 1024 blue values; labels; the mean of the rows."""
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return {"data": rows, "labels": list(range(1, len(images) + 1)), "mean": rows.mean(0)}


def batches_of(name, images):
    """All images in val_data; or in ten batches, for training."""
    if name == "valid":
        return {"val_data": batch_of(images)}
    parts = enumerate(np.array_split(images, 10), start=1)
    return {f"train_data_batch_{number}": batch_of(part) for number, part in parts}


def chrabaszcz2017_npz(name, images):
    """Imagenet32_train_npz.zip or Imagenet32_val_npz.zip."""
    files = {}
    folder = "Imagenet32_train_npz" if name == "train" else "Imagenet32_val_npz"
    for file, batch in batches_of(name, images).items():
        buffer = io.BytesIO()
        np.savez(buffer, **batch)
        files[f"{folder}/{file}.npz"] = buffer.getvalue()
    return zip_of(files)
