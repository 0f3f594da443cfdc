import subprocess
import sys

import pytest

import irec


def test_importing_irec_is_quick_and_its_functions_are_there():
    code = "import irec, sys; assert 'torch' not in sys.modules; irec.compress; irec.decompress"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        irec.nonesuch  # noqa: B018
