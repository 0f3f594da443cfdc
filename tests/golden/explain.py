"""The generated parts of docs/format.md: a file byte by byte, and the constants of profiles."""

from dataclasses import asdict
from pathlib import Path

from irec.bitstream import Bitstream, Header
from irec.bitstream.profile import PROFILES

PAGE = Path(__file__).parents[2] / "docs" / "format.md"


def example(data: bytes, stream: Bitstream) -> str:
    """A table of a file without alpha and seed, as `stream` was read from it."""
    header = stream.header
    rows = list(_header_rows(header))
    position = 8 * sum(size for size, _ in rows)
    assert position == stream.sizes["header"]
    lines = ["| byte | hexadecimal | section | meaning |", "|---|---|---|---|"]
    start = 0
    for size, meaning in rows:
        lines.append(_row(data, start, size, "header", meaning))
        start += size
    for name, bits in list(stream.sizes.items())[1:]:
        if not bits:
            continue
        meaning = _MEANINGS[name](stream) if name in _MEANINGS else ""
        if bits % 8 or position % 8:
            shown = "".join(f"{byte:08b}" for byte in data)[position : position + bits]
            where = f"{position // 8} bit {position % 8}"
            lines.append(f"| {where} | bits `{shown}` | {name.replace('_', ' ')} | {meaning} |")
        else:
            lines.append(_row(data, position // 8, bits // 8, name.replace("_", " "), meaning))
        position += bits
    assert position == 8 * len(data)
    return "\n".join(lines)


def profiles() -> str:
    """A table of all constants of all profiles."""
    found = []
    for profile in PROFILES.values():
        values = asdict(profile)
        found.append({**{k: v for k, v in values.items() if k != "coder"}, **values["coder"]})
    lines = ["| constant |" + "".join(f" {values['name']} |" for values in found)]
    lines.append("|---|" + "---|" * len(found))
    for name in [name for name in found[0] if name != "name"]:
        lines.append(f"| {name} |" + "".join(f" {_cell(values[name])} |" for values in found))
    return "\n".join(lines)


def with_parts(page: str, **parts: str) -> str:
    """The page, what stands between its marks made anew."""
    for part, text in parts.items():
        start, rest = page.split(f"<!-- {part} -->\n")
        page = f"{start}<!-- {part} -->\n{text}\n{rest[rest.index('<!-- end -->') :]}"
    return page


def _header_rows(header: Header):
    version = f"format version 1, profile {header.profile.number} ({header.profile.name})"
    yield 2, "magic `iR`"
    yield 1, f"{version}, nothing more follows"
    yield 3, "the model's fingerprint"
    yield 1, f"height - 1 = {header.height - 1}"
    yield 1, f"width - 1 = {header.width - 1}"
    if header.profile.is_lossy:
        yield 1, f"quality index {header.quality_index}"


def _side_info(stream: Bitstream) -> str:
    (tile,) = stream.tiles
    numbers = [f"{t.n_steps} steps, rho index {t.rho_index}" for t in tile.tensors]
    return f"grid offset {tile.grid_offset}; of each tensor: {'; '.join(numbers)}"


def _indices(stream: Bitstream) -> str:
    found = [t.indices.tolist() for t in stream.tiles[0].tensors if t.n_steps]
    return "indices " + "; ".join(", ".join(map(str, own)) for own in found)


_MEANINGS = {
    "side_info": _side_info,
    "indices": _indices,
    "padding": lambda stream: "up to a whole byte",
    "residual": lambda stream: "the pixel, given the latent tensors",
    "checksum": lambda stream: "CRC-32 of the bytes before, exclusive-or that of the pixel",
}


def _row(data: bytes, start: int, size: int, section: str, meaning: str) -> str:
    where = str(start) if size == 1 else f"{start} to {start + size - 1}"
    return f"| {where} | `{data[start : start + size].hex(' ')}` | {section} | {meaning} |"


def _cell(value: object) -> str:
    return "none" if value is None else str(value)
