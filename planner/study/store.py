"""The store of a study: one folder a case, written once and whole, and the tables compacted from them.

The layout is described in ``docs/architecture.md``. A case appears under its final name only when all its files are
on disk, so whatever stops a run, a folder that is there is complete. Every file is listed with its SHA-256.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from planner.io.atomic import whole_file
from planner.io.delivery_file import Treatment, read_deliveries, write_deliveries
from planner.io.digest import sha256_of
from planner.treatment.errors import InputError

RECORDS = pa.schema(
    [
        ("case", pa.string()),
        ("patient", pa.string()),
        ("strategy", pa.string()),
        ("phase", pa.string()),
        ("structure", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("unit", pa.string()),
        ("uncertainty", pa.float64()),
    ]
)
DVH = pa.schema(
    [
        ("case", pa.string()),
        ("patient", pa.string()),
        ("strategy", pa.string()),
        ("phase", pa.string()),
        ("structure", pa.string()),
        ("dose_gy", pa.float64()),
        ("volume_percent", pa.float64()),
    ]
)
APERTURES = "apertures.json"
CASE_FILES = ("records.parquet", "dvh.parquet", "timeline.json", "views.npz")


@dataclass(frozen=True, eq=False)
class CaseResult:
    """What one case leaves behind.

    Attributes
    ----------
    case : mapping
        Content of ``case.json``, less the ``hashes`` of the files.
    records, dvh : mapping of str to sequence
        Columns of `RECORDS` and `DVH`.
    timeline : mapping
        Content of ``timeline.json``.
    views : mapping of str to ndarray
        Content of ``views.npz``.
    treatments : sequence of Treatment
        Content of ``apertures.json``, which there is where the first plan has apertures.
    """

    case: Mapping[str, Any]
    records: Mapping[str, Any]
    dvh: Mapping[str, Any]
    timeline: Mapping[str, Any]
    views: Mapping[str, np.ndarray]
    treatments: Sequence[Treatment] = ()

    def timed(self, wall_s: float) -> "CaseResult":
        """Return the result with the time that it took, s."""
        return replace(self, case={**self.case, "wall_s": wall_s})


def folder_of(study: Path, case_id: str) -> Path:
    """Return the folder of a case."""
    return study / "cases" / case_id


def is_done(study: Path, case_id: str) -> bool:
    """Return whether a case lies in the store; it is complete if it does."""
    return (folder_of(study, case_id) / "case.json").is_file()


def open_study(study: Path) -> None:
    """Make the folder of a study and remove what an interrupted run left half-written.

    Raises
    ------
    InputError
        If the folder cannot be made.
    """
    try:
        (study / "cases").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(study, "", f"cannot be written: {error.strerror}") from None
    for leftover in (study / "cases").glob(".writing-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def write_case(study: Path, result: CaseResult) -> Path:
    """Write a case in a temporary folder, flush it to disk and move it to its place at once.

    Returns
    -------
    Path
        The folder of the case.
    """
    case_id = result.case["id"]
    target = folder_of(study, case_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    writing = Path(tempfile.mkdtemp(prefix=f".writing-{case_id}-", dir=target.parent))
    try:
        pq.write_table(pa.table(dict(result.records), schema=RECORDS), writing / "records.parquet")
        pq.write_table(pa.table(dict(result.dvh), schema=DVH), writing / "dvh.parquet")
        _write_json(writing / "timeline.json", result.timeline)
        # Without allow_pickle, which older numpy takes for one more array; reading refuses pickled objects anyway.
        np.savez_compressed(writing / "views.npz", **dict(result.views))  # type: ignore[arg-type]
        if result.treatments:
            write_deliveries(writing / APERTURES, result.treatments)
        files = {file.name: sha256_of(file) for file in sorted(writing.iterdir())}
        _write_json(writing / "case.json", {**result.case, "hashes": {**result.case.get("hashes", {}), **files}})
        writing.chmod(0o755)
        for path in [*writing.iterdir(), writing]:
            _flush(path)
        if target.exists():
            shutil.rmtree(target)
        writing.rename(target)
        _flush(target.parent)
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    return target


def write_json(file: Path, content: Any) -> None:
    """Write JSON beside the old file and replace it at once; NaN and infinity are refused."""
    with whole_file(file) as beside:
        _write_json(beside, content)


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(file: Path) -> Any:
    """Return the content of a JSON file of the store.

    Raises
    ------
    InputError
        If it is missing or no JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(file, "", "no such file: is this the folder of a study that was run?") from None
    except (OSError, ValueError) as error:
        raise InputError(file, "", f"cannot be read: {error}") from None


def case_folders(study: Path) -> list[Path]:
    """Return the folders of the finished cases that belong to the study as it was run last, in its order."""
    wanted = read_json(study / "study.json")["cases"]
    return [folder_of(study, case_id) for case_id in wanted if is_done(study, case_id)]


def read_case(folder: Path) -> dict[str, Any]:
    """Return ``case.json`` of a finished case, its files checked against their SHA-256.

    Raises
    ------
    InputError
        If a file is missing or was changed.
    """
    case = read_json(folder / "case.json")
    told = [name for name in (APERTURES,) if name in case["hashes"]]
    for name in (*CASE_FILES, *told):
        file = folder / name
        if not file.is_file() or sha256_of(file) != case["hashes"].get(name):
            raise InputError(file, "", "is missing or was changed after the case was computed: delete its folder")
    return case


def read_views(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays of ``views.npz``; pickled objects are refused."""
    with np.load(folder / "views.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def read_treatments(folder: Path) -> list[Treatment]:
    """Return what a finished case delivered on each day; empty where fluence was free."""
    file = folder / APERTURES
    return read_deliveries(file) if file.exists() else []


def read_tables(folders: Iterable[Path], name: str) -> pd.DataFrame:
    """Return one table of several cases, in their order.

    Parameters
    ----------
    folders : iterable of Path
    name : str
        ``records`` or ``dvh``.
    """
    schema = {"records": RECORDS, "dvh": DVH}[name]
    tables = [pq.read_table(folder / f"{name}.parquet", schema=schema) for folder in folders]
    return (pa.concat_tables(tables) if tables else schema.empty_table()).to_pandas()


def collect(study: Path, run: Mapping[str, Any]) -> pd.DataFrame:
    """Check every finished case, compact the records into one table and write the manifest.

    Parameters
    ----------
    study : Path
    run : mapping
        What the manifest tells about the run: ``started, wall_s, workers, failed``.

    Returns
    -------
    DataFrame
        The records of all finished cases.

    Raises
    ------
    InputError
        If a file of a finished case is missing or was changed.
    """
    folders = case_folders(study)
    cases = {read_case(folder)["id"]: sha256_of(folder / "case.json") for folder in folders}
    records = read_tables(folders, "records")
    with whole_file(study / "records.parquet") as beside:
        pq.write_table(pa.Table.from_pandas(records, schema=RECORDS, preserve_index=False), beside)
    files = {name: sha256_of(study / name) for name in ("study.json", "records.parquet")}
    write_json(study / "manifest.json", {**run, "cases": cases, "hashes": files})
    return records
