"""Give every command small, hostile files, and measure what each run costs.

    python -m tests.fuzz.commands              all of them: some minutes
    python -m tests.fuzz.commands --only derender

Every file has less than 10 MB and asks for much more memory or time than it is worth. A command
must refuse it with one line of an error, or succeed because it needs nothing of what is forged (as
`unpack` does, which copies bytes), within 500 MB of memory and 5 seconds of processor beyond
those with which Python and the libraries start. One JSON on stdout; exits with 1 if any run
did otherwise.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from rvdtool.delivery.output import STATE_FILE
from tests.bombs import claiming_mosaics, claiming_png, endless_tiffs, tiff
from tests.fuzz.mutate import read_members, replace_manifest, replace_member, write_members
from tests.fuzz.watch import MEMORY, SECONDS

LEVELS = ("--black", "64", "--white", "1023", "--phase", "RGGB", "--bits", "10")
_TYPED = range(2, 6)
"""Exit codes of errors for which the input is to blame; see rvdtool.errors."""
_SIDE = 30_000
_MB = 10**6
_PIXELS = np.zeros((8, 8, 3), np.uint8)

_MOST, _LONGEST = 2 * 10**9, 300
"""Bytes and seconds of the clock after which a run is killed."""
_EVERY = 0.01
"""Seconds between two looks at a run's memory."""

_IMPORTS = "import rvdtool.cli, rvdtool.delivery.folder, rvdtool.research.training.loop"
"""What no command needs more of."""

Run = tuple[str, list[str]]
"""The hostile file in words, and the command's arguments."""


def list_runs(seeds: Path, folder: Path) -> Iterator[Run]:
    """All runs; their files are written into `folder`."""
    yield from _raws(seeds, folder)
    yield from _mosaics(seeds, folder)
    yield from _pictures(seeds, folder)
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
    for suffix, data in claiming_mosaics(_SIDE).items():
        path = _file(folder, f"huge.{suffix}", data)
        yield (
            path.name,
            ["pack", str(seeds / "video" / "ffv1.mkv"), str(path), *LEVELS, *_out(folder)],
        )
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


@dataclass(frozen=True)
class Cost:
    """What a process came to.

    Attributes:
        code: its exit code.
        memory: most resident memory of it or a process that it started, in bytes.
        seconds: of processor, of both.
        clock: seconds of the clock.
        lines: what it wrote to stderr.
    """

    code: int
    memory: int
    seconds: float
    clock: float
    lines: list[str]


def measure_run(arguments: list[str], base: Cost) -> dict[str, Any]:
    """Run a command of rvdtool.

    Args:
        arguments: of rvdtool.
        base: what it costs to start.
    """
    cost = _measure(["-m", "rvdtool", *arguments])
    errors = [line for line in cost.lines if line.startswith("error:")]
    right = cost.code == 0 or (len(errors) == 1 and cost.code in _TYPED)
    grouped = arguments[0] in ("models", "research")
    return {
        "command": " ".join(arguments[: 1 + grouped]),
        "exit code": cost.code,
        "MB": round(cost.memory / _MB),
        "seconds": round(cost.seconds, 1),
        "clock": round(cost.clock, 1),
        "said": (errors or cost.lines[-1:] or [""])[0][:300],
        "ok": right
        and cost.memory <= MEMORY + base.memory
        and cost.seconds <= SECONDS + base.seconds,
    }


def _measure(arguments: list[str]) -> Cost:
    """Run Python with these arguments."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        memory, status = 0, None
        while status is None:
            memory = max(memory, _peak(child.pid))
            if memory > _MOST or time.monotonic() - start > _LONGEST:
                child.kill()
            ended, found, used = os.wait4(child.pid, os.WNOHANG)
            status = found if ended else None
            time.sleep(_EVERY)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    seconds = used.ru_utime + used.ru_stime
    return Cost(child.returncode, memory, seconds, time.monotonic() - start, lines)


def _peak(process: int) -> int:
    """Most resident memory in bytes of a process or one that it started; 0 if it has ended.

    Unlike the rusage of a child, it doesn't count what the parent had when it forked.
    """
    place = Path(f"/proc/{process}")
    try:
        found = (place / "status").read_text().partition("VmHWM:")[2].split()
        started = (place / "task" / str(process) / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    own = int(found[0]) * 1024 if found else 0
    return max(own, *map(_peak, map(int, started)), 0)


def main() -> int:
    """Run all, and say what they cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="", help="commands or files with this in their names")
    wanted = parser.parse_args().only
    found = []
    with tempfile.TemporaryDirectory(prefix="rvdtool-hostile-") as place:
        seeds, folder = Path(place) / "seeds", Path(place) / "files"
        folder.mkdir()
        subprocess.run([sys.executable, "-m", "tests.fuzz.seeds", str(seeds)], check=True)
        base = _measure(["-c", _IMPORTS])
        for name, arguments in list_runs(seeds, folder):
            if wanted in f"{name} {' '.join(arguments[:2])}":
                found.append({"file": name, **measure_run(arguments, base)})
                if not found[-1]["ok"]:
                    sys.stderr.write(f"{found[-1]}\n")
    failed = [one for one in found if not one["ok"]]
    most = {key: max(one[key] for one in found) for key in ("MB", "seconds")}
    report = {
        "runs": len(found),
        "failures": len(failed),
        **most,
        "base": asdict(base),
        "of": found,
    }
    sys.stdout.write(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
