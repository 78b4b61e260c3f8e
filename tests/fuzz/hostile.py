"""Small, hostile files for every command, which ask for much memory or time."""

import io
import json
import struct
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import av
import imagecodecs
import numpy as np

from rvdtool.delivery.output import STATE_FILE
from tests.bombs import claiming_mosaics, claiming_png, endless_tiffs, tiff
from tests.fuzz.mutate import read_members, replace_manifest, replace_member, write_members

LEVELS = ("--black", "64", "--white", "1023", "--phase", "RGGB", "--bits", "10")
_SIDE = 30_000
_MB = 10**6
_PIXELS = np.zeros((8, 8, 3), np.uint8)

Run = tuple[str, list[str]]
"""The hostile file in words, and the command's arguments."""


def list_runs(seeds: Path, folder: Path) -> Iterator[Run]:
    """All runs; their files are written into `folder`."""
    yield from _raws(seeds, folder)
    yield from _mosaics(seeds, folder)
    yield from _pictures(seeds, folder)
    yield from _sound(seeds, folder)
    yield from _tables(seeds, folder)
    yield from _manifests(seeds, folder)
    yield from _recordings(seeds, folder)
    yield from _states(seeds, folder)
    yield from _models(seeds, folder)
    yield from _datasets(folder)


def _raws(seeds: Path, folder: Path) -> Iterator[Run]:
    """Lists of images that never end, as RAW, as a bundle's RAW and planes, as a sequence."""
    bundle = (seeds / "bundle" / "ffv1.rvd").read_bytes()
    shared = [(40_000 + index, 3, 200_000, 8) for index in range(4000)]
    raws = endless_tiffs() | {"shared.dng": tiff((shared, 0)) + bytes(9 * _MB)}
    for name, data in raws.items():
        sequence = _folder(folder / f"frames-{name}", {"000000.dng": data})
        yield (
            name,
            [
                "pack",
                str(seeds / "video" / "ffv1.mkv"),
                str(sequence / "000000.dng"),
                *_out(folder),
            ],
        )
        yield name, ["metrics", str(sequence), str(sequence)]
        yield name, ["render", str(sequence), "-o", str(folder / "out.mp4")]
        for part in ("dng", "planes.tiff"):
            path = folder / f"{part}-{name}.rvd"
            path.write_bytes(replace_member(bundle, f"reference/000000.{part}", data))
            yield from _bundle(f"{name} as {part}", path, folder)


def _mosaics(seeds: Path, folder: Path) -> Iterator[Run]:
    """Plain mosaics of a claimed size."""
    cards = {"SIMPLE": "T", "BITPIX": 16, "NAXIS": 2, "NAXIS1": _SIDE, "NAXIS2": _SIDE}
    header = "".join(f"{name:<8}= {value:>20}".ljust(80) for name, value in cards.items()) + "END"
    claims = claiming_mosaics(_SIDE) | {"fits": header.ljust(2880).encode() + bytes(8 * _MB)}
    for suffix, data in claims.items():
        path = _file(folder, f"huge.{suffix}", data)
        yield (
            path.name,
            ["pack", str(seeds / "video" / "ffv1.mkv"), str(path), *LEVELS, *_out(folder)],
        )
        if suffix == "fits":
            continue
        name = {"tif": "tiff", "png": "png"}[suffix]
        bundle = (seeds / "bundle" / f"plain-{name}.rvd").read_bytes()
        forged = folder / f"mosaic-{suffix}.rvd"
        forged.write_bytes(replace_member(bundle, f"reference/000000.{name}", data))
        yield from _bundle(f"{path.name} in a bundle", forged, folder)


def _pictures(seeds: Path, folder: Path) -> Iterator[Run]:
    """Frames of a claimed size: a folder of PNGs or TIFFs, and as a bundle's video."""
    pictures = {
        "png": claiming_png(_SIDE, _PIXELS),
        "tiff": endless_tiffs()["chain.dng"],
    }
    jpeg = bytearray(imagecodecs.jpeg_encode(_PIXELS))
    size = jpeg.index(b"\xff\xc0") + 5  # height and width (ITU-T T.81, B.2.2)
    jpeg[size : size + 4] = struct.pack(">2H", 65_500, 65_500)
    frames = _folder(folder / "video-jpeg", {f"{k}.jpg": bytes(jpeg) for k in range(3)})
    yield "frames of jpeg", ["pack", str(frames), str(seeds / "raw" / "none.dng"), *_out(folder)]
    for suffix, data in pictures.items():
        frames = _folder(folder / f"video-{suffix}", {f"{k}.{suffix}": data for k in range(3)})
        yield (
            f"frames of {suffix}",
            ["pack", str(frames), str(seeds / "raw" / "none.dng"), *_out(folder)],
        )
        bundle = (seeds / "bundle" / f"{suffix}.rvd").read_bytes()
        first = json.loads(read_members(bundle)["manifest.json"])["video"]["members"][0]["name"]
        forged = folder / f"frames-{suffix}.rvd"
        forged.write_bytes(replace_member(bundle, first, data))
        yield from _bundle(f"frame of {suffix} in a bundle", forged, folder)
    for name, data in _videos((seeds / "video" / "h264.mp4").read_bytes()).items():
        path = _file(folder, f"{name}.mp4", data)
        yield path.name, ["pack", str(path), str(seeds / "raw" / "none.dng"), *_out(folder)]
        bundle = (seeds / "bundle" / "h264.rvd").read_bytes()
        forged = folder / f"{name}.rvd"
        forged.write_bytes(replace_member(bundle, "video/h264.mp4", data))
        yield from _bundle(f"{path.name} in a bundle", forged, folder)


def _videos(sound: bytes) -> dict[str, bytes]:
    """MP4s that claim many samples, or large frames, by name."""
    many, large = bytearray(sound), bytearray(sound)
    sizes = sound.index(b"stsz") + 8  # one size for all, their number (ISO 14496-12, 8.7.3.2)
    many[sizes : sizes + 8] = (1).to_bytes(4) + (2**31 - 1).to_bytes(4)
    times = sound.index(b"stts") + 8
    many[times : times + 8] = (1).to_bytes(4) + (2**31 - 1).to_bytes(4)
    entry = sound.index(b"avc1") + 28  # width and height (12.1.3.2)
    large[entry : entry + 4] = (_SIDE).to_bytes(2) * 2
    return {"samples": bytes(many), "large": bytes(large)}


def _sound(seeds: Path, folder: Path) -> Iterator[Run]:
    """Sound of forged rates and channels, and of a clip whose last frame comes ten hours later."""
    path = folder / "sound.mov"
    with (
        av.open(str(seeds / "video" / "h264.mp4")) as silent,
        av.open(str(path), "w") as container,
    ):
        video = container.add_stream_from_template(silent.streams.video[0])
        track = container.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        for packet in silent.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 24_000), np.int16), "s16", "stereo")
        samples.sample_rate, samples.pts = 48_000, 0
        container.mux(track.encode(samples))
    sound = path.read_bytes()
    entry = sound.index(b"sowt")  # a sound sample description (QuickTime File Format)
    forged = {}
    for name, place, value in (
        ("channels", 20, struct.pack(">H", 65_535)),
        ("rate", 28, struct.pack(">I", 2**32 - 1)),
    ):
        data = bytearray(sound)
        data[entry + place : entry + place + len(value)] = value
        forged[name] = bytes(data)
    times = sound.index(b"stts") + 8
    late = bytearray(sound)
    late[times : times + 12] = struct.pack(">3I", 1, 6, 2**31 - 1)
    forged["late"] = bytes(late)
    for name, data in forged.items():
        clip = _file(folder, f"sound-{name}.mov", data)
        bundle = folder / f"sound-{name}.rvd"
        yield clip.name, ["pack", str(clip), str(seeds / "raw" / "none.dng"), "-o", str(bundle)]
        yield clip.name, ["derender", str(bundle), "-o", str(folder / f"sound-{name}")]


def _tables(seeds: Path, folder: Path) -> Iterator[Run]:
    """CSVs of millions of rows, columns or quotes."""
    video, raw = str(seeds / "video" / "ffv1.mkv"), str(seeds / "raw" / "none.dng")
    for name, text in {
        "rows": "frame,iso\n" + "0,1\n" * (2 * _MB),
        "columns": "frame,iso" + ",a" * (4 * _MB) + "\n",
        "quotes": 'frame,iso\n"' + '""' * (4 * _MB),
        "digits": "frame,iso\n0," + "1" * 100_000,
    }.items():
        path = str(_file(folder, f"{name}.csv", text.encode()))
        yield path, ["pack", video, raw, "--exposures", path, *_out(folder)]
    for name, text in {
        "columns": "video,raw" + ",raw" * (2 * _MB) + "\n",
        "empty rows": "video,raw\n" + "," * (9 * _MB),
        "clips": "video,raw\n" + "a,\n" * (2 * _MB) + "a,b,c\n",
    }.items():
        path = str(_file(folder, f"clips-{name}.csv", text.encode()))
        yield path, ["pack", "--list", path]


def _manifests(seeds: Path, folder: Path) -> Iterator[Run]:
    """Manifests of many megabytes."""
    members = read_members((seeds / "bundle" / "ffv1.rvd").read_bytes())
    head = '{"format": "rvdtool bundle", "version": 1, '
    for name, before, element, after in (
        ("timestamps", '"video": {"timestamps": [', "0,", "0]}}"),
        ("members", '"video": {"members": [', "{},", "{}]}}"),
        ("references", '"references": [', "{},", "{}]}"),
        ("deep", "", '"x":{', ""),
    ):
        text = (head + before + element * (9 * _MB // len(element)) + after).encode()
        path = _file(folder, f"manifest-{name}.rvd", replace_manifest(members, text))
        yield from _bundle(f"manifest of {name}", path, folder)
    many = {f"video/{index}": b"" for index in range(80_000)}
    path = _file(folder, "many.rvd", replace_manifest(members | many, members["manifest.json"]))
    yield from _bundle("80,000 members", path, folder)


def _recordings(seeds: Path, folder: Path) -> Iterator[Run]:
    """A recording of empty blocks."""
    recording = (seeds / "mlv" / "14-0.mlv").read_bytes()
    block = b"NULL" + (16).to_bytes(4, "little") + bytes(8)
    frame = b"VIDF" + (48).to_bytes(4, "little") + bytes(40)
    for name, blocks in (("blocks", block * 550_000), ("frames", frame * 180_000)):
        path = _file(folder, f"{name}.mlv", recording[:52] + blocks)
        yield path.name, ["pack", str(seeds / "video" / "ffv1.mkv"), str(path), *_out(folder)]
        yield path.name, ["metrics", str(path), str(path)]


def _states(seeds: Path, folder: Path) -> Iterator[Run]:
    """States of interrupted runs that claim large arrays, and flows that do."""
    bundle = seeds / "bundle" / "ffv1.rvd"
    header = {"descr": "<f4", "fortran_order": False, "shape": (_SIDE, _SIDE, 2)}
    claim = b"\x93NUMPY\x01\x00" + (246).to_bytes(2, "little")
    claim += repr(header).ljust(245).encode() + b"\n" + bytes(64)
    flows = _folder(folder / "flows", {f"{index}.npy": claim for index in range(5)})
    yield "flows", ["derender", str(bundle), "-o", str(folder / "flown"), "--flow", str(flows)]
    members = read_members((seeds / "state" / "ffv1.npz").read_bytes())
    for name in ("chain_far", "sizes", "key"):
        begun = folder / f"begun-{name}"
        begun.mkdir()
        _file(begun, STATE_FILE, write_members({**members, f"{name}.npy": claim}))
        command = ["derender", str(bundle), "-o", str(begun), "--resume", "--model", "none"]
        yield f"state whose {name} is huge", command


def _models(seeds: Path, folder: Path) -> Iterator[Run]:
    """Checkpoints that ask for memory, and networks of any size."""
    many = b"]" * _MB
    programs = {
        "bytearray": b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x5e\xd0\xb2\x00\x85R.",
        "lists": b"\x80\x02" + many + b".",
        "tuples": b"\x80\x02)" + b"q\x00h\x00h\x00\x86" * 1000 + b".",
        "text": b"\x80\x02X\xff\xff\xff\x7f" + b"a" * 100 + b".",
    }
    for name, program in programs.items():
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("a/data.pkl", program)
        path = _file(folder, f"{name}.pth", data.getvalue())
        yield path.name, ["models", "import", str(path), "-o", str(folder / f"model-{name}")]
    sizes: dict[str, tuple[str, dict[str, Any]]] = {
        "features": (
            "fagdn",
            {"features": 256, "warping": True, "confidence_map": True, "gla": True},
        ),
        "widths": (
            "fagdn-calibrated",
            {
                **{"widths": [10**6] * 4, "depths": [10**4] * 4, "heads": 4, "gla": True},
                **{"full_resolution": True, "warping": True, "confidence_map": True},
                **{"anchored": True, "calibrated": True},
            },
        ),
    }
    for name, (kind, config) in sizes.items():
        weights = (9 * _MB).to_bytes(8, "little") + b"{" * 9 * _MB
        described = {"format": 2, "kind": kind, "config": config}
        text = json.dumps(described | {"weights_sha256": sha256(weights).hexdigest()}).encode()
        files = {"config.json": text, "weights.safetensors": weights}
        model = _folder(folder / f"network-{name}", files)
        yield f"network of many {name}", ["models", "show", str(model)]
        bundle = str(seeds / "bundle" / "ffv1.rvd")
        yield (
            f"network of many {name}",
            ["derender", bundle, "-o", str(folder / f"{name}-raws"), "--model", str(model)],
        )


def _datasets(folder: Path) -> Iterator[Run]:
    """Data sets whose index, mosaics or pictures are hostile."""
    one = json.dumps([{"video_name": "a", "frames": ["0", "1"]}]).encode()
    mosaic, picture = claiming_mosaics(_SIDE)["tif"], claiming_png(_SIDE, _PIXELS)
    index = b"[" + b"{}," * (4 * _MB // 3) + b"{}]"
    cameras = b"{" + b",".join(b'"%d":0' % number for number in range(400_000)) + b"}"
    for name, files in {
        "index": {"data.json": index},
        "cameras": {"data.json": one, "cameras.json": cameras},
        "deep index": {"data.json": b"[" * 4 * _MB},
        "large index": {"data.json": b" " * 9 * _MB},
        "mosaic": {"data.json": one},
        "endless mosaic": {"data.json": one},
    }.items():
        root = _folder(folder / f"set-{name}", files)
        raw = endless_tiffs()["subifds.dng"] if name.startswith("endless") else mosaic
        _folder(root / "RAW" / "a", {f"{frame}.tiff": raw for frame in "01"})
        _folder(root / "sRGB" / "a", {f"{frame}.png": picture for frame in "01"})
        out = str(folder / f"run-{name}")
        yield f"data set: {name}", ["research", "benchmark", str(root), "-o", out, "--jobs", "1"]
        train = ["research", "train", str(root), "--preset", "paper", "--steps", "1"]
        yield f"data set: {name}", [*train, "-o", out + "-train"]


def _bundle(name: str, path: Path, folder: Path) -> Iterator[Run]:
    """Everything that is done with a bundle."""
    out = folder / f"out-{path.stem}"
    yield name, ["info", str(path)]
    yield name, ["verify", str(path)]
    yield name, ["unpack", str(path), "-o", str(out)]
    yield name, ["derender", str(path), "-o", str(out) + "-raws", "--model", "none"]
    yield name, ["plan", str(path), "--count", "1"]


def _file(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def _out(folder: Path) -> list[str]:
    return ["-o", str(folder / "out.rvd")]
