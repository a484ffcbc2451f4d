"""The code in README and docs/ runs as it stands there; what is generated is up to date; links lead somewhere."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "bench" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
PAGES = [path for path in TEXTS if "```python" in path.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    """The blocks of a page one after the other; what a line prints is what the comment behind it says."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)
        expected = re.findall(r"print\(.*\) +# (.*)", block)
        printed = capsys.readouterr().out.splitlines()
        assert all(line in printed for line in expected), printed


def test_the_operators_are_documented_by_their_docstrings(monkeypatch):
    """docs/operators.md is what its generator makes of the schemas and docstrings; where they differ in a name, it says so."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import generate_operators

    page = generate_operators.PAGE.read_text()
    assert generate_operators.generated(page) == page, "run `make docs`"

    documentation = generate_operators.Docstring("int4_mm")
    documentation.sections["Args"] = documentation.sections["Args"].replace("bias:", "offset:")
    with pytest.raises(ValueError, match="int4_mm: Args must be .*'bias'.*, but got .*'offset'"):
        generate_operators.check_documented("int4_mm", documentation)


@pytest.mark.parametrize("page", TEXTS, ids=lambda path: path.name)
def test_the_links_of_a_page_lead_somewhere(page):
    """Links to files of the repository, and to headings by the names that GitHub gives them."""
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in headings(file.read_text()), target


def headings(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
