"""PEFT knows the method whichever of the two packages comes first."""

from __future__ import annotations

import subprocess
import sys

import pytest

READ = """
from phaseno_peft.library import adapter_folder
config = peft.PeftConfig.from_pretrained(adapter_folder("ohio-frac"))
model = peft.PeftModel.from_pretrained(phaseno_peft.load_backbone(), adapter_folder("ohio-frac"))
print(type(config).__name__, model.active_adapter, peft.__spec__.loader is not None)
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import phaseno_peft, peft",
        "import peft, phaseno_peft",
        "import phaseno_peft; from importlib.util import find_spec; find_spec('peft'); import peft",
    ],
)
def test_peft_reads_an_adapter_whichever_is_imported_first(imports: str) -> None:
    done = subprocess.run([sys.executable, "-c", imports + READ], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["CRLoraConfig", "default", "True"], done.stderr


def test_without_peft_nothing_of_it_is_imported() -> None:
    code = "import phaseno_peft, sys; print('peft' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
