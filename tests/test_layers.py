"""The layer rule: schemas <- models <- streams, and who may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("schemas", "models", "streams")
ONLY_IN = {
    "torch": {"models/encoder.py", "models/generator.py", "models/image_encoder.py", "models/voice"},
    "transformers": {"models/encoder.py", "models/generator.py", "models/image_encoder.py"},
    "peft": {"models/voice"},
    "faust": {"streams/app.py", "streams/transport"},
    "redis": {"streams/store"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def modules(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_itself_and_what_lies_below(layer: str) -> None:
    above = set(LAYERS[LAYERS.index(layer) + 1 :])

    wrong = {str(path.relative_to(ROOT)): imports(path) & above for path in modules(layer) if imports(path) & above}

    assert not wrong


@pytest.mark.parametrize("package", sorted(ONLY_IN))
def test_a_heavy_package_is_imported_only_where_it_is_at_home(package: str) -> None:
    homes = ONLY_IN[package]

    strays = {
        str(path.relative_to(ROOT))
        for layer in LAYERS
        for path in modules(layer)
        if package in imports(path) and not any(str(path.relative_to(ROOT)).startswith(home) for home in homes)
    }

    assert not strays


def test_the_event_path_loads_no_torch() -> None:
    code = "import sys, streams.app; sys.exit(int('torch' in sys.modules or 'transformers' in sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_help_answers_in_half_a_second() -> None:
    import time

    taken = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "streams.cli", "--help"], cwd=ROOT, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)

    assert min(taken) < 0.5
