"""Damage and forgery, drawn from a seed: the same seed, the same bytes."""

import hashlib
import io
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rvdtool.raw.carried import CARRIED

Field = tuple[int, int]
"""Offset and size in bytes of a number that says how much or where."""

_MOST_LISTED = 100
"""SubIFDs of one tag that are edited."""

ELSEWHERE = (Path("/tmp/evil"), Path("/etc/evil"))
"""Where forged names of members lead, beside places near the bundle."""

_EXTREMES = (0, 1, 2, 3, 0x7F, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)
_VALUES = (
    *(0, -1, 1, 2**31, 10**9, 2**63, 10**30, 0.5, -0.0, 1e308, 1e-308, float("nan"), True, None),
    *("", "x", "..", "../../evil", "/etc/evil", "C:\\evil", "a\0b", "\ud800"),
    *("9" * 70_000, "ü" * 200),
    *([], {}, [[]], [0] * 1000, {"": 0}),
)  # fmt: skip
"""What a manifest's fields are replaced by."""

_NUMBERS = (0, 1, -1, 2, 3, 21, 1.5, 65_535, 65_536, 2**31 - 1, 2**31, 2**32, 10**30, 1e-300)
"""What is said of a camera instead of the truth."""


def damage(data: bytes, rng: random.Random, fields: list[Field]) -> bytes:
    """One kind of damage; `fields` are what a length edit may hit."""
    kinds: list[Callable[[bytes, random.Random], bytes]] = [_flip, _flip, _truncate, _splice]
    if fields:
        kinds += [lambda d, r: _edit_fields(d, r, fields)] * 2
    return rng.choice(kinds)(data, rng)


def _flip(data: bytes, rng: random.Random) -> bytes:
    """Up to eight bytes changed; half of the time near each other, as in one sector."""
    changed = bytearray(data)
    reach = len(data) if rng.random() < 0.5 else min(len(data), 512)
    start = rng.randrange(len(data) - reach + 1)
    for _ in range(rng.randint(1, 8)):
        changed[start + rng.randrange(reach)] = rng.randrange(256)
    return bytes(changed)


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _splice(data: bytes, rng: random.Random) -> bytes:
    """A piece of the file put somewhere else: over what was there, between, or taken out."""
    start, length = rng.randrange(len(data)), rng.choice((1, 2, 4, 16, 64, 512, 4096))
    place = rng.randrange(len(data))
    piece = data[start : start + length]
    end = rng.choice((place, place + len(piece)))
    if rng.random() < 0.25:
        piece = b""
    return data[:place] + piece + data[end:]


def _edit_fields(data: bytes, rng: random.Random, fields: list[Field]) -> bytes:
    changed = bytearray(data)
    for offset, size in rng.sample(fields, min(len(fields), rng.randint(1, 2))):
        old = int.from_bytes(changed[offset : offset + size], "little")
        near = (old + rng.choice((-2, -1, 1, 2, 8, 1024)), old * 2, old // 2)
        # What another field says: an offset that points to somebody else's data, or back.
        place, length = rng.choice(fields)
        other = int.from_bytes(data[place : place + length], "little")
        value = rng.choice((*_EXTREMES, *near, other, other)) % 256**size
        changed[offset : offset + size] = value.to_bytes(size, rng.choice(("little", "big")))
    return bytes(changed)


def zip_fields(data: bytes) -> list[Field]:
    """Sizes, offsets, counts, methods and flags of a ZIP archive's records."""
    local = [(6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)]
    central = [(8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4)]
    end = [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)]
    records = ((b"PK\3\4", local), (b"PK\1\2", central), (b"PK\5\6", end))
    return [
        (place + offset, size)
        for magic, fields in records
        for place in _places(data, magic)
        for offset, size in fields
    ]


def tiff_fields(data: bytes) -> list[Field]:
    """Types, counts and values of all tags and the pointers between IFDs; none of other files."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return []
    order = "<" if data[:2] == b"II" else ">"
    fields: list[Field] = [(4, 4)]
    todo, seen = [struct.unpack_from(order + "I", data, 4)[0]], set[int]()
    while todo:
        ifd = todo.pop()
        if ifd in seen or ifd + 2 > len(data):
            continue
        seen.add(ifd)
        count = struct.unpack_from(order + "H", data, ifd)[0]
        fields.append((ifd, 2))
        following = ifd + 2 + 12 * count
        for entry in range(ifd + 2, min(following, len(data) - 12), 12):
            code, _, number, value = struct.unpack_from(order + "HHII", data, entry)
            fields += [(entry + 2, 2), (entry + 4, 4), (entry + 8, 4), (entry + 8, 2)]
            if code in (330, 34665):  # SubIFDs, EXIF
                listed = range(value, value + 4 * number, 4) if number > 1 else (entry + 8,)
                inside = [place for place in listed[:_MOST_LISTED] if place + 4 <= len(data)]
                fields += [(place, 4) for place in inside]
                todo += [struct.unpack_from(order + "I", data, place)[0] for place in inside]
        if following + 4 <= len(data):
            fields.append((following, 4))
            todo.append(struct.unpack_from(order + "I", data, following)[0])
    return fields


def mlv_fields(data: bytes) -> list[Field]:
    """Sizes of blocks, counts, and what RAWI and VIDF say of the picture."""
    fields: list[Field] = [(4, 4), (26, 2), (32, 2), (36, 4)]
    position = 0
    while position + 16 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        fields.append((position + 4, 4))
        if name == b"RAWI":
            fields += [(position + 16, 2), (position + 18, 2)]
            fields += [(position + 20 + 4 * k, 4) for k in range(21)]
        if name == b"VIDF":
            fields += [(position + 16, 4), (position + 28, 4)]
        position += max(size, 16)
    return [field for field in fields if sum(field) <= len(data)]


def _places(data: bytes, magic: bytes) -> Iterator[int]:
    place = data.find(magic)
    while place >= 0:
        yield place
        place = data.find(magic, place + 1)


def forge_manifest(data: bytes, rng: random.Random) -> bytes:
    """A bundle whose manifest says something else, with its checksums right."""
    members = read_members(data)
    manifest = json.loads(members["manifest.json"])
    for _ in range(rng.randint(1, 3)):
        change(manifest, rng)
    # NaN and lone surrogates are no JSON, but a forger can write them.
    text = json.dumps(manifest).encode()
    return replace_manifest(members, text)


def forge_camera(data: bytes, rng: random.Random) -> bytes:
    """A bundle whose manifest says of a camera what its DNGs can't, with its checksums right."""
    members = read_members(data)
    manifest = json.loads(members["manifest.json"])
    reference = rng.choice(manifest["references"])
    profile, numbers = reference["profile"], (*_NUMBERS, rng.random())
    for _ in range(rng.randint(1, 3)):
        match rng.choice(("tag", "tag", "neutral", "matrix", "exposure")):
            case "tag":
                profile["tags"].append(_tag(rng))
            case "neutral":
                profile["as_shot_neutral"][rng.randrange(3)] = rng.choice(numbers)
            case "matrix":
                profile["color_matrix"] = [[rng.choice(numbers) for _ in range(3)] for _ in "xyz"]
            case _:
                ratio = {"numerator": rng.choice(numbers), "denominator": rng.choice(numbers)}
                field = rng.choice(("time", "f_number", "focal_length", "iso"))
                reference["exposure"][field] = ratio if field != "iso" else rng.choice(numbers)
    return replace_manifest(members, json.dumps(manifest).encode())


def _tag(rng: random.Random) -> dict[str, Any]:
    """A TIFF tag of any kind, right or wrong."""
    count = rng.choice((0, 1, 2, 3, 4, 9, 1000))
    numbers = [rng.choice(_NUMBERS) for _ in range(rng.choice((count, 2 * count, 1)))]
    value = rng.choice(
        (
            {"kind": "numbers", "numbers": numbers},
            {"kind": "text", "text": rng.choice(("", "Acme", "ü" * count, "a\0b"))},
            {"kind": "hex", "hex": rng.randbytes(rng.choice((0, count, 4 * count))).hex()},
        )
    )
    code = rng.choice((*sorted(CARRIED), 256, 273, 279, 330, 50717, rng.randrange(2**16)))
    return {"code": code, "dtype": rng.randint(1, 13), "count": count, "value": value}


def change(manifest: Any, rng: random.Random) -> None:
    """Replace, remove, add or double one value somewhere in the tree."""
    node = manifest
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = rng.choice(keys)
        child = node[key]
        if not isinstance(child, dict | list) or not child or rng.random() < 0.2:
            break
        node = child
    kind = rng.random()
    if kind < 0.7:
        node[key] = rng.choice(_VALUES)
    elif kind < 0.8:
        del node[key]
    elif isinstance(node, dict):
        node["unknown"] = child
    else:
        node.append(child)


def forge_member(data: bytes, rng: random.Random) -> bytes:
    """A bundle with a damaged video, RAW frame or planes, with its checksums right."""
    members = read_members(data)
    name = rng.choice(_entries(json.loads(members["manifest.json"])))["name"]
    old = members[name]
    return replace_member(data, name, damage(old, rng, tiff_fields(old)) or b"\0")


def replace_member(data: bytes, name: str, new: bytes) -> bytes:
    """A bundle with another video, RAW frame or planes, with its checksums right."""
    members = read_members(data)
    manifest = json.loads(members["manifest.json"])
    for entry in _entries(manifest):
        if entry["name"] == name:
            entry["size"], entry["sha256"] = len(new), hashlib.sha256(new).hexdigest()
    return replace_manifest({**members, name: new}, json.dumps(manifest).encode())


def replace_manifest(members: dict[str, bytes], manifest: bytes) -> bytes:
    """A bundle of these members with another manifest, whose hash is right."""
    return write_members({**members, **_described(manifest)})


def forge_names(data: bytes, rng: random.Random) -> bytes:
    """A bundle whose members are renamed, missing, doubled or added."""
    members = list(read_members(data).items())
    place = rng.randrange(len(members))
    name, content = members[place]
    other = rng.choice(
        ("../evil", "/tmp/evil", "video/../../evil", "video\\evil", "", "x" * 60_000)
    )
    kind = rng.choice(("rename", "remove", "add", "double"))
    if kind in ("rename", "remove"):
        del members[place]
    if kind != "remove":
        members.insert(place, (name if kind == "double" else other, content))
    return write_members(members)


def read_members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def _described(manifest: bytes) -> dict[str, bytes]:
    """A manifest and its hash, which must be right, or no reader looks any further."""
    line = f"{hashlib.sha256(manifest).hexdigest()}  manifest.json\n"
    return {"manifest.json": manifest, "manifest.sha256": line.encode()}


def _entries(manifest: Any) -> list[Any]:
    references = manifest["references"]
    raws = [reference[kind]["member"] for reference in references for kind in ("raw", "planes")]
    return [*manifest["video"]["members"], *raws]


def write_members(members: dict[str, bytes] | list[tuple[str, bytes]]) -> bytes:
    """Headers as rvdtool writes them, so that nothing but the members gives a forgery away."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about duplicate names
        for name, data in members.items() if isinstance(members, dict) else members:
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, data)
    return out.getvalue()
