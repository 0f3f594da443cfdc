import pytest

from irec.errors import DataError
from irec.folders import search
from irec.images import image_paths


def test_linked_folders_are_searched_once_and_dangling_links_reported(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.png").touch()
    (tmp_path / "below" / "a.txt").touch()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "below")
    (tmp_path / "below" / "loop").symlink_to(tmp_path)
    found = search(tmp_path, {".png"})
    assert [str(path.relative_to(tmp_path)) for path in found.paths] == ["below/a.png"]
    assert [path.name for path in found.others] == ["a.txt"]
    assert not found.problems
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    assert search(tmp_path, {".png"}).problems == [
        f"{tmp_path}/gone.png: a link that leads nowhere, or not a file"
    ]
    with pytest.raises(DataError, match=r"gone\.png: a link"):
        image_paths(tmp_path)
