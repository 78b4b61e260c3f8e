"""The first run on a machine announces that it compiles; later ones use the cache."""

from pathlib import Path

import numpy as np
import pytest

from rvdtool.reconstruct import compiled

SOURCE = """
from rvdtool.reconstruct.compiled import kernel

@kernel
def double(values):
    for k in range(values.size):
        values[k] *= 2
"""


def test_compiling_is_announced_only_before_the_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_kernels", [])
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "doubling.py").write_text(SOURCE)
    from doubling import double

    assert compiled.must_compile()
    values = np.ones(3, np.float32)
    double(values)
    assert values.tolist() == [2, 2, 2]
    assert not compiled.must_compile()
