"""Compiled kernels: kept machine code that needs no numba, and what happens to arrays and files that do not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analyzer.events.flows import FlowTable, insert_keys, new_flow_table
from analyzer.kernels import cache_folder, runner

ROOT = Path(__file__).resolve().parents[1]
LOADED = """
import sys
import numpy as np
from analyzer.events.flows import insert_keys, new_flow_table
from analyzer.kernels import runner
table, mapping = new_flow_table(4), np.empty(3, np.int64)
assert runner(insert_keys, True)(np.arange(30, dtype=np.uint32), 3, table, mapping) == 3
assert mapping.tolist() == [0, 1, 2] and table.size[0] == 3
print("numba" in sys.modules)
"""


def inserted(table: FlowTable, keys: np.ndarray, *, compiled: bool) -> list[int]:
    mapping = np.empty(3, np.int64)
    runner(insert_keys, compiled)(keys, 3, table, mapping)
    return mapping.tolist()


def run_again(folder: Path) -> str:
    environment = {**os.environ, "HALFSHAKE_KERNEL_CACHE": str(folder)}
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=True)
    return done.stdout.strip()


def test_kept_code_is_loaded_without_numba_and_built_again_where_it_is_damaged(tmp_path: Path) -> None:
    assert run_again(tmp_path) == "True"
    assert run_again(tmp_path) == "False"
    (kept,) = tmp_path.rglob("*.o")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert run_again(tmp_path) == "True"
    assert run_again(tmp_path) == "False"


def test_compiled_and_interpreted_kernels_do_the_same() -> None:
    keys = np.array([*range(10), *range(10), *range(5, 15)], np.uint32)
    assert inserted(new_flow_table(4), keys, compiled=True) == inserted(new_flow_table(4), keys, compiled=False)


@pytest.mark.parametrize("keys", [np.zeros(30, np.int64), np.zeros((3, 10), np.uint32), np.zeros(60, np.uint32)[::2]])
def test_an_array_of_another_kind_is_refused(keys: np.ndarray) -> None:
    with pytest.raises(TypeError, match="contiguous array"):
        inserted(new_flow_table(4), keys, compiled=True)


def test_code_is_kept_in_a_folder_of_these_sources() -> None:
    assert cache_folder().name.startswith("kernels-")
