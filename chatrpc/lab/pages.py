"""What a browser makes of a page: shown in a frame of its own, and told in words.

    lab.browser("<p>hola</p>")

The frame is a sandbox: a script in it may change its own page and nothing else.
"""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser

_STYLE = "<style>body{font:18px system-ui,sans-serif}</style>"  # legible from the last row


class Browser:
    """A page as a browser sees it; ``texts`` is what is read, ``scripts`` what runs in it."""

    def __init__(self, page: str) -> None:
        self.page = page
        reader = _Reader()
        reader.feed(page)
        reader.close()
        self.texts, self.scripts = reader.texts, reader.scripts

    def __repr__(self) -> str:
        runs = [f"runs:  {script}" for script in self.scripts] or ["runs:  nothing"]
        return "\n".join([*(f"shows: {text}" for text in self.texts), *runs])

    def _repr_html_(self) -> str:
        # Without allow-same-origin its scripts cannot reach the notebook.
        page = escape(_STYLE + self.page)
        frame = (
            f'<iframe sandbox="allow-scripts" srcdoc="{page}" title="the page" '
            'style="width:100%;max-width:640px;height:80px;border:2px solid #8c959f;'
            'border-radius:8px;background-color:#ffffff"></iframe>'
        )
        return f"{frame}<pre>{escape(repr(self))}</pre>"


def browser(page: str) -> Browser:
    """Return what a browser makes of a page's HTML."""
    return Browser(page)


class _Reader(HTMLParser):
    """Tells text from what runs: the contents of script elements, and handlers like onerror."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._in_script = self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script, self._in_style = tag == "script", tag == "style"
        self.scripts += [f"{name}={value}" for name, value in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self._in_script = self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data.strip())
        elif data.strip() and not self._in_style:
            self.texts.append(data.strip())
