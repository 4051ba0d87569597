"""The cell that runs: what it shows, and whether somebody is there to see it while it runs."""

from __future__ import annotations

from typing import Any


def _kernel() -> Any:
    """Return the kernel's shell, or None where there is no notebook."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    return shell if hasattr(shell, "kernel") else None


def in_kernel() -> bool:
    """Whether this process is a notebook's kernel."""
    return _kernel() is not None


def number() -> object:
    """Return what names the run of the cell that runs now; None where there is no notebook."""
    shell = _kernel()
    return None if shell is None else (shell.execution_count, _parent(shell).get("msg_id"))


def is_live() -> bool:
    """Whether a page shows this cell as it runs: one that names the cell that it has run.

    Who only runs notebooks, like nbval and nbclient, compares outputs and wants no updates.
    """
    shell = _kernel()
    return shell is not None and bool(_parent(shell, "metadata").get("cellId"))


def _parent(shell: Any, part: str = "header") -> dict[str, Any]:
    try:
        return dict(shell.kernel.get_parent("shell").get(part) or {})
    except (AttributeError, TypeError, LookupError):
        return {}


def show(data: dict[str, str]) -> Any:
    """Show something in this cell; return a handle that can update it, or None."""
    if _kernel() is None:
        return None
    from IPython.display import display

    return display(data, raw=True, display_id=True) if is_live() else display(data, raw=True)  # type: ignore[no-untyped-call]
