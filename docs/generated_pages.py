"""Pages that are made from the program: commands, public names of Python, and every error message."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "phaseno_peft"
PAGE_OF_ROOM = {
    "backbone": "backbone.md",
    "baselines": "judging.md",
    "campaign": "own-campaign.md",
    "checking": "own-campaign.md",
    "cr_lora": "method.md",
    "evaluation": "judging.md",
    "hub": "sharing.md",
    "judging": "judging.md",
    "labelling": "no-labels.md",
    "library": "sharing.md",
    "picking": "own-campaign.md",
    "picks": "own-campaign.md",
    "pretraining": "backbone.md",
    "training": "own-campaign.md",
}
"""Where more is said about what a room of the package complains of; of other rooms the message says all."""
_FEWEST_WORDS = 4


def commands_page() -> str:
    """Every command with its options, as `--help` shows them."""
    import typer
    from typer.cli import get_docs_for_click

    from phaseno_peft.cli.app import app

    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="phaseno-peft")
    text = get_docs_for_click(obj=command, ctx=context, name="phaseno-peft", title="Commands")
    text = re.sub(r"\n\*\*Commands\*\*:\n\n(\* .*\n)+", "\n", text)  # each has its section below
    return re.sub(r"^Example: (.+)$", r"```bash\n\1\n```", text, flags=re.MULTILINE)


def api_page() -> str:
    """The names at the top of the package, by the room that they come from. Raises for one without a docstring."""
    import phaseno_peft

    rooms: dict[str, list[tuple[str, str]]] = {}
    for name in phaseno_peft.__all__:
        value = getattr(phaseno_peft, name)
        missing = [where for where, text in _docstrings(name, value) if not text]
        if missing:
            raise ValueError(f"no docstring: {', '.join(missing)}")
        rooms.setdefault(value.__module__.split(".")[1], []).append((name, value.__module__))
    parts = ["# Python", "All of this stands at the top of the package: `from phaseno_peft import NAME`."]
    for room in sorted(rooms):
        parts.append(f"## {room.replace('_', ' ')}")
        parts += [f"::: {module}.{name}" for name, module in sorted(rooms[room])]
    return "\n\n".join(parts) + "\n"


def _docstrings(name: str, value: object) -> Iterator[tuple[str, str | None]]:
    """A public name and the public methods of its class, each with its own docstring."""
    yield name, value.__doc__
    if inspect.isclass(value):
        for member, found in vars(value).items():
            function = getattr(found, "__func__", found)
            if not member.startswith("_") and (inspect.isfunction(function) or isinstance(function, property)):
                yield f"{name}.{member}", inspect.getdoc(getattr(value, member))


def messages_page() -> str:
    """Every error message of the package, by its first words; what changes from case to case stands in ‹ ›."""
    found: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0]
        for message in messages_of(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(message, room)
    lines = [
        "# Messages",
        "",
        "What the program says when it refuses something, by the first fixed words of the message.",
        "What changes from case to case stands in ‹ ›. Each message ends with the next step.",
        "By symptom: [Troubleshooting](troubleshooting.md).",
    ]
    letter = ""
    for message, room in sorted(found.items(), key=lambda item: _first_words(item[0]).lower()):
        own = _first_words(message)[:1].upper()
        if own != letter:
            letter = own
            lines += ["", f"## {letter}", ""]
        page = PAGE_OF_ROOM.get(room)
        more = f" [More]({page})" if page else ""
        lines.append(f"- {_escaped(message)}{more}")
    return "\n".join(lines) + "\n"


def messages_of(module: ast.Module) -> Iterator[str]:
    """Texts that are raised as errors of the package in a module, with the expressions of f-strings in ‹ ›."""
    for node in ast.walk(module):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error")):
            continue
        if node.args and isinstance(node.args[0], ast.JoinedStr | ast.Constant | ast.BinOp):
            text = _text_of(node.args[0])
            if len(re.sub(r"‹.*?›", "", text).split()) >= _FEWEST_WORDS:
                yield " ".join(text.split())


def _text_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text_of(value) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        names = re.findall(r"[A-Za-z_]\w+", ast.unparse(node.value))
        return f"‹{names[-1].replace('_', ' ') if names else '...'}›"
    if isinstance(node, ast.BinOp):
        return _text_of(node.left) + _text_of(node.right)
    return "‹...›"


def _first_words(message: str) -> str:
    """The message from its first fixed word on."""
    return re.sub(r"^(\W|‹[^›]*›)+", "", re.sub(r"^(‹[^›]*›(: )?)+", "", message))


def _escaped(message: str) -> str:
    return re.sub(r"([\\`*_<>\[\]#|])", r"\\\1", message)
