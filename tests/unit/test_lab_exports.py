"""chatrpc.lab gives its tools by name, and loads none before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chatrpc import lab


@pytest.mark.parametrize("name", lab.__all__)
def test_each_export_is_there(name: str) -> None:
    assert getattr(lab, name).__doc__


@pytest.mark.parametrize("name", sorted(lab._HOME))
def test_no_module_hides_an_export(name: str) -> None:
    assert name not in lab._HOME.values()


def test_importing_the_laboratory_loads_no_widgets() -> None:
    script = "import sys; from chatrpc import lab; sys.exit('ipywidgets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=30).returncode == 0


def test_a_misspelt_tool_is_told_what_there_is() -> None:
    with pytest.raises(AttributeError, match="it has ChatPanel"):
        lab.ChatPanle  # noqa: B018
