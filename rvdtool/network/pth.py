"""Read PyTorch's checkpoint files (`.pth`, `.ckpt`), also those from untrusted sources.

A checkpoint is a ZIP archive with a pickle and the tensors' bytes. A pickle is a program: it can
run code, and a few bytes of it can ask for gigabytes. So its instructions are checked before they
run: only those that make plain containers, numbers, text and tensors are allowed. PyTorch's
restricted reader then reads the file.
"""

import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from rvdtool.errors import ModelError, brief
from rvdtool.files import describe, require_file

MAX_BYTES: Final = 2**31
"""Largest accepted file."""

_MOST_INSTRUCTIONS = 2**20
"""Largest number of bytes in the pickle. That of 1,000 tensors has about 100,000."""

_MOST_MEMBERS = 2**16

_GLOBALS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        *(f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16")),
        *(f"torch {kind}Storage" for kind in ("Long", "Int", "Short", "Char", "Byte", "Bool")),
    }
)
"""Globals that the pickle may refer to."""

_ALLOWED = frozenset(
    {
        *("PROTO", "STOP", "GLOBAL", "BINPERSID", "REDUCE", "BUILD", "MARK"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINSTRING", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_SET"),
        *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
    }
)
"""Instructions that the pickle may use."""

_MOST_IN_TUPLE = 1000
"""Largest number of values in a tuple, including nested ones. A few instructions could create any
number, and hashing or printing them would take forever."""

_MOST_SHARED = 4
"""Largest size of all tensors relative to the file; a network and its running mean may share
bytes."""

_UNREADABLE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Errors that pickletools and PyTorch's restricted reader raise on damaged or malicious files."""


def read_pth(file: Path) -> Any:
    """Read a checkpoint: plain containers, numbers, text, and tensors on the CPU.

    All tensors together are hardly larger than the file.

    Raises:
        ModelError: too large, damaged, or with other content. Its code is never run.
        InputError: the file doesn't exist.
    """
    size = require_file(file, "a checkpoint").stat().st_size
    if size > MAX_BYTES:
        raise ModelError(f"{file}: {size:,} bytes; checkpoints of up to {MAX_BYTES:,} can be read")
    try:
        with zipfile.ZipFile(file) as archive:
            program = _program(archive, size, file)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError) as error:
        reason = describe(error) if isinstance(error, OSError) else brief(error)
        raise ModelError(
            f"{file}: not a checkpoint of PyTorch 1.6 or later (a ZIP archive), or a damaged one: "
            f"{reason}"
        ) from error
    try:
        _require_plain(program)
        content = torch.load(file, map_location="cpu", weights_only=True)
        _require_stored(content, _MOST_SHARED * size)
    except _UNREADABLE as error:
        raise ModelError(
            f"{file}: can't be read as weights only; it is damaged, or contains more than tensors "
            f"(code is never run): {brief(error)}"
        ) from error
    return content


def _program(archive: zipfile.ZipFile, size: int, file: Path) -> bytes:
    """Check the members' headers, and read the archive's pickle."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ModelError(f"{file}: has compressed members, which PyTorch doesn't write")
    if len(set(names)) < len(names) or len(names) > _MOST_MEMBERS:
        raise ModelError(f"{file}: {len(names)} members, or several of the same name")
    if sum(member.file_size for member in members) > size:
        raise ModelError(f"{file}: its members claim more bytes than the file has")
    pickles = [member for member in members if member.filename.endswith(".pkl")]
    if len(pickles) != 1 or pickles[0].file_size > _MOST_INSTRUCTIONS:
        raise ModelError(f"{file}: not a checkpoint of PyTorch: it has no pickle of usual size")
    return archive.read(pickles[0])


def _require_plain(program: bytes) -> None:
    """Check a pickle's instructions without running them.

    For each entry on the pickle machine's stack, this tracks the number of values: those of a
    tuple, else 1.

    Raises:
        ValueError: an instruction isn't allowed, or creates too large a tuple; or damage.
        LookupError: the pickle is damaged.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    for instruction, argument, _ in pickletools.genops(program):
        name = instruction.name
        if name not in _ALLOWED:
            raise ValueError(f"it uses the instruction {name}")
        if name == "GLOBAL" and argument not in _GLOBALS:
            raise ValueError(f"it names {str(argument).replace(' ', '.')}")
        if name in ("BINPUT", "LONG_BINPUT"):
            memo[int(argument or 0)] = stack[-1]
            continue
        if name == "MARK":
            marks.append(len(stack))
            continue
        before = instruction.stack_before
        count, items = len(before), list[int]()
        if pickletools.markobject in before:
            count, place = before.index(pickletools.markobject), marks.pop()
            items = stack[place:]
            del stack[place:]
        items += [stack.pop() for _ in range(count)]
        values = 1
        if name in ("BINGET", "LONG_BINGET"):
            values = memo[int(argument or 0)]
        elif name.startswith("TUPLE"):
            values += sum(items)
        if values > _MOST_IN_TUPLE:
            raise ValueError(f"it has a tuple of more than {_MOST_IN_TUPLE} values")
        stack += [values] * len(instruction.stack_after)


def _require_stored(content: Any, most: int) -> None:
    """Refuse tensors that claim more bytes than are stored (strides of 0, or shared bytes).

    Raises:
        ValueError: all tensors together have more than `most` bytes.
    """
    total, todo, seen = 0, [content], set[int]()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list | tuple):
            todo += one
        elif isinstance(one, Tensor):
            total += one.numel() * one.element_size()
    if total > most:
        raise ValueError(f"its tensors claim {total:,} bytes, which aren't stored")
