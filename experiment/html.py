"""HTML and SVG as nested calls. Text is escaped wherever it comes in, so no name of a run can become markup."""

import html
from base64 import b64encode


class Html(str):
    """Markup that is already fit for a page; any other text is escaped."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | float | None) -> Html:
    """Write an element.

    Args:
        name: of the element; it is not escaped.
        *children: markup stays, other text is escaped.
        **attributes: values are escaped, None leaves one out, "" leaves the bare name; a trailing underscore is cut
            off and others become hyphens, as in class_ and stroke_width.
    """
    texts = []
    for key, value in attributes.items():
        if value is not None:
            given = f"{value:.6g}" if isinstance(value, float) else str(value)
            shown = key.rstrip("_").replace("_", "-")
            texts.append(f' {shown}="{html.escape(given)}"' if given else f" {shown}")
    inside = "".join(child if isinstance(child, Html) else html.escape(child) for child in children)
    empty = name in ("meta", "img", "br")
    return Html(f"<{name}{''.join(texts)}>" + ("" if empty else f"{inside}</{name}>"))


def join(*parts: str) -> Html:
    """Put parts one after the other; what is no markup is escaped."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in parts))


def data_uri(kind: str, data: bytes) -> str:
    """Put a file's bytes into an address, kind as "image/png"."""
    return f"data:{kind};base64,{b64encode(data).decode()}"
