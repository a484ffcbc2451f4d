"""bench/bench.py on one small shape of every format: our operators beside the dense product, from the command line to the plot."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import contest  # noqa: E402
import limits  # noqa: E402
import results  # noqa: E402
import torch  # noqa: E402
from formats import FORMATS  # noqa: E402
from formats.base import BEST_DENSE, READ_LIMIT  # noqa: E402
from weights import Weight  # noqa: E402

import bench  # noqa: E402 (the path comes first)

BUILD = Path(os.environ.get("TORCHAO_OPS_BUILD", ROOT / "build"))
sys.path.insert(0, str(ROOT / "python"))
os.environ["TORCHAO_OPS_LIBRARY"] = str(BUILD / "libtorchao_ops.so")
BATCHES = (1, 5)
OUT_FEATURES, IN_FEATURES = 32, 256


def call_main(monkeypatch, *arguments: object) -> int:
    """bench.py in this process; the machine's limits are not measured again."""
    monkeypatch.setattr(sys, "argv", ["bench.py", *map(str, arguments)])
    monkeypatch.setattr(limits.Limits, "measure", lambda self: self.read_gbps.update({1 << 40: 1e6}))
    monkeypatch.setattr(limits.Limits, "peak", lambda *_: 1e6)
    return bench.main()


def our_candidates(form) -> list[str]:
    return [name for name in form.candidates(form.group_sizes, torch.bfloat16) if form.operator_of(name)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The results of a run of every format."""
    out = tmp_path_factory.mktemp("results")
    names = [operator.name for form in FORMATS.values() for operator in form.operators]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "python"), os.environ.get("PYTHONPATH", "")])}
    command = [
        sys.executable,
        ROOT / "bench" / "bench.py",
        f"--out={out}",
        f"--shapes={OUT_FEATURES}x{IN_FEATURES}",
        f"--m={','.join(map(str, BATCHES))}",
        "--threads=1",
        "--weights=warm",
        "--quick",
        f"--only={','.join(names)},F.linear float32",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for form in FORMATS.values():
        assert all(f"/{operator.name}" in done.stdout for operator in form.operators)
    return out


@pytest.mark.parametrize("name", FORMATS)
def test_ours_and_dense_are_verified_and_timed(folder, name):
    form, loaded = FORMATS[name], results.load(folder / f"{name}_cpu.json")
    assert loaded.format is form and loaded.absent == {}
    assert {row.problem for row in loaded.rows} == {None}
    found = {(row.candidate, row.batch) for row in loaded.rows if row.seconds and row.error is not None}
    assert found == {(c, batch) for c in [*our_candidates(form), "F.linear float32"] for batch in BATCHES}


@pytest.mark.parametrize("name", FORMATS)
def test_its_tables(folder, name, monkeypatch, capsys):
    assert call_main(monkeypatch, f"--markdown={folder / f'{name}_cpu.json'}") == 0
    said = capsys.readouterr().out
    assert all(f"| **{candidate}** |" in said for candidate in our_candidates(FORMATS[name]))
    for operator in FORMATS[name].operators:
        assert f"`{operator.name}` at every shape" in said
        assert f"fastest {FORMATS[name].kind} peer with {operator.activations} activations" in said


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed: no plots")
@pytest.mark.parametrize("name", FORMATS)
def test_its_plot(folder, name):
    assert (folder / f"{name}_cpu.png").stat().st_size > 10_000


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed: no plots")
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_plotted_is_a_candidate_and_has_a_style(name):
    import plot

    form = FORMATS[name]
    constructors = form.candidates(form.group_sizes, torch.bfloat16)
    assert set(form.plotted) <= set(constructors)
    assert all(plot.style(form, candidate) for candidate in form.plotted)


@pytest.mark.parametrize("name", FORMATS)
def test_a_goal_has_a_rival_among_the_candidates(name):
    form = FORMATS[name]
    candidates = form.candidates(form.group_sizes, torch.bfloat16)
    for goal in form.goals:
        assert goal.rival in (BEST_DENSE, READ_LIMIT) or any(c.startswith(goal.rival) for c in candidates), goal


def test_a_format_that_is_not_there_is_said(monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        call_main(monkeypatch, "--formats=int4,int3")
    assert "but got int3" in capsys.readouterr().err


@pytest.mark.parametrize("name", FORMATS)
def test_ours_that_is_wrong_is_not_timed_and_fails_the_run(name, tmp_path, monkeypatch, capsys):
    form = FORMATS[name]
    candidates = form.candidates(form.group_sizes, torch.bfloat16)
    ours = our_candidates(form)[0]
    candidate = candidates[ours]()
    bind = type(candidate).bind
    monkeypatch.setattr(type(candidate), "bind", lambda self, copy, x: lambda: 1.1 * bind(self, copy, x)())
    options = [f"--formats={name}", f"--only={ours}", f"--shapes={OUT_FEATURES}x{IN_FEATURES}", "--m=1", "--threads=1"]
    assert call_main(monkeypatch, *options, f"--out={tmp_path}") == 1
    assert f"ours failed: {ours}" in capsys.readouterr().out
    assert all(
        row.problem.startswith("wrong") and row.seconds is None
        for row in results.load(tmp_path / f"{name}_cpu.json").rows
    )


def test_a_hopeless_candidate_is_timed_once_and_not_called_with_more_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(contest, "ONCE_CALL_SECONDS", 0)
    monkeypatch.setattr(contest, "HOPELESS_CALL_SECONDS", 0)
    options = ["--formats=int8", "--only=F.linear float32", "--shapes=32x256", "--m=1,2", "--threads=1"]
    assert call_main(monkeypatch, *options, f"--out={tmp_path}") == 0
    first, second = results.load(tmp_path / "int8_cpu.json").rows
    assert first.problem is None and first.seconds > 0 and first.repetitions == 1
    assert second.problem.startswith("a call took") and second.seconds is None


def test_results_from_before_formats_are_int4s():
    for path in (ROOT / "bench" / "results").glob("*/int4_cpu.json"):
        assert results.load(path).format is FORMATS["int4"]
        assert json.loads(path.read_text()).get("format", "int4") == "int4"


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group_size", [0, 32, 100])
def test_a_quantized_weight_is_near_the_weight_and_its_codes_are_its_values(bits, group_size):
    weight = Weight(8, 250)
    integers = weight.integers(bits, group_size)
    step = integers.scale.float().repeat_interleave(group_size or 250, dim=1)[:, :250]
    assert ((integers.dequantized() - weight.dense).abs() <= 0.51 * step).all()
    assert (integers.codes.int() - (8 if bits == 4 else 128) == integers.values.int()).all()
    assert integers.values.abs().max() == (7 if bits == 4 else 127)
