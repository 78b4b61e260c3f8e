"""Checks of the whole repository: layers, pins, file sizes, and documentation."""

import itertools
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rvdtool._version import __version__
from rvdtool.cli import app

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "models/**/*.md")
    for path in ROOT.glob(pattern)
)
LARGEST = 20 * 2**20


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def code_lines(document: Path) -> Iterator[str]:
    """The lines of a document's fenced blocks, and its inline code."""
    text = document.read_text()
    fenced = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    for block in fenced.findall(text):
        yield from block.replace("\\\n", " ").splitlines()[1:-1]
    yield from re.findall(r"`([^`\n]+)`", fenced.sub("", text))


def shown(command: str, documents: Iterable[Path] = DOCUMENTS) -> list[tuple[str, list[str]]]:
    """The name of each document that shows `command`, and the words that follow it there."""
    found = []
    for document in documents:
        for line in code_lines(document):
            words = shlex.split(line.removeprefix("$ "), comments=True) if command in line else []
            if words[:1] == [command]:
                found.append((document.name, words[1:]))
    return found


def test_imports_go_one_way() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_every_package_has_its_place_among_the_layers() -> None:
    contracts = project()["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    placed = {
        name.strip().removeprefix("rvdtool.") for layer in layers for name in layer.split("|")
    }
    packages = {path.parent.name for path in (ROOT / "rvdtool").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "rvdtool").glob("[a-z]*.py")}
    assert placed == packages | modules


def dependencies() -> list[str]:
    """All direct dependencies, with their ranges."""
    declared = project()["project"]
    extras = declared["optional-dependencies"].values()
    return [*declared["dependencies"], *itertools.chain.from_iterable(extras)]


def test_every_dependency_is_pinned() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    names = {re.split(r"[<>=~!\[; ]", dependency)[0] for dependency in dependencies()}
    assert names - pinned == set()


def test_every_dependency_has_a_lower_bound() -> None:
    """.ci/test-releases reads them with this pattern, and would miss all others."""
    lines = (ROOT / "pyproject.toml").read_text()
    read = re.findall(r'^  "([A-Za-z0-9-]+>=[\d.]+)', lines, re.MULTILINE)
    assert read == [dependency.partition(",")[0] for dependency in dependencies()]


def test_no_file_is_too_large_to_clone() -> None:
    large = [path for path in tracked_files() if path.is_file() and path.stat().st_size > LARGEST]
    assert large == []


def test_the_changelog_knows_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## {re.escape(__version__)}\b", changelog, re.MULTILINE)


def test_the_readme_shows_the_two_commands_that_do_everything() -> None:
    readme = [words for document, words in shown("make") if document == "README.md"]
    assert ["demo"] in readme
    assert ["test"] in readme


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document, words in shown("make"):
        assert {word for word in words if word.islower()} <= targets, (document, words)


def test_commands_and_options_in_documents_exist() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    calls = [(document, words) for document, words in shown("rvdtool") if words != ["--help"]]
    assert calls, "no document shows how rvdtool is called"
    for document, words in calls:
        assert words, document
        assert words[0] in commands, (document, words)
        command, rest = commands[words[0]], words[1:]
        while hasattr(command, "commands"):  # a group: `research dataset simulate …`
            if not rest:
                break
            assert rest[0] in command.commands, (document, words)
            command, rest = command.commands[rest[0]], rest[1:]
        if hasattr(command, "commands"):
            continue
        known = {name for option in command.params for name in option.opts} | {"--help"}
        used = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert used <= known, (document, words)


def leaves(command: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The names of all commands that aren't groups, such as ("research", "train")."""
    if not hasattr(command, "commands"):
        yield names
        return
    for name, part in command.commands.items():
        yield from leaves(part, (*names, name))


def test_every_command_is_shown_on_a_page_of_the_docs() -> None:
    pages = [path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")]
    calls = [tuple(words) for _, words in shown("rvdtool", pages)]
    commands = set(leaves(get_command(app)))
    assert len(commands) > 8
    missing = {names for names in commands if not any(c[: len(names)] == names for c in calls)}
    assert missing == set()


def test_the_readme_links_to_every_page_of_the_docs() -> None:
    linked = re.findall(r"\]\(([^)#\s]+)", (ROOT / "README.md").read_text())
    pages = {path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")}
    assert pages - {ROOT / target for target in linked} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", document.read_text())
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (document.parent / target).exists()] == []
