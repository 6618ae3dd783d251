"""The handbook, the README and the golden questions against the code that they describe."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from shared import errors
from shared.answering.answers import Answer, Citation
from shared.cli.main import main
from shared.cli.reference import reference
from shared.evaluation.golden import UNANSWERABLE, read_golden
from shared.ingestion.front_matter import split_front_matter, text_of
from shared.ingestion.markdown import read_markdown
from shared.ingestion.sources import read_folder
from shared.settings import declarations

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md"]
GOLDEN = ROOT / "tests" / "golden" / "handbook"
CODE = {".py", ".sql", ".tf", ".hcl", ".yaml", ".json", ".md"}
# Set for Python or the functions framework, not settings of Lectern.
OTHER_VARIABLES = {"FUNCTION_SOURCE", "FUNCTION_TARGET", "PYTHONPATH"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
every_text = pytest.mark.parametrize("page", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def addresses() -> dict[Path, str]:
    """The address that each page has when the handbook is served."""
    folder = read_folder(DOCS, "/docs")
    found = {DOCS / page.source: page.url for page in folder}
    assert not folder.refused
    return found


def url_of(page: Path) -> str:
    return addresses()[page]


@cache
def tokens_of(page: Path) -> tuple[Token, ...]:
    _, body = split_front_matter(page.read_text(encoding="utf-8"), str(page))
    return tuple(MarkdownIt("commonmark").enable("table").parse(body))


def inline_of(page: Path) -> Iterator[Token]:
    for token in tokens_of(page):
        yield from token.children or ()


def code_of(page: Path) -> list[str]:
    """Listings and inline code."""
    listings = [token.content for token in tokens_of(page) if token.type == "fence"]
    return [*listings, *(token.content for token in inline_of(page) if token.type == "code_inline")]


@cache
def anchors_of(page: Path) -> set[str]:
    read = read_markdown(page.read_text(encoding="utf-8"), url=url_of(page) if page in PAGES else "/")
    return {section.anchor for section in read.sections}


def test_every_page_is_ingested() -> None:
    """A reader would get no answer from a page that is there to be read."""
    assert set(addresses()) == set(PAGES)


@every_page
def test_a_page_has_a_head(page: Path) -> None:
    """The page would stand in the sidebar without a name, and in search results without a description."""
    head, _ = split_front_matter(page.read_text(encoding="utf-8"), str(page))
    assert text_of(head, "title")
    assert text_of(head, "description").endswith(".")
    assert text_of(head, "sidebar_position").isdigit()


def test_no_two_pages_have_the_same_title() -> None:
    """A reader could not tell two citations apart."""
    titles = [read_markdown(page.read_text(encoding="utf-8"), url=url_of(page)).title for page in PAGES]
    assert len(set(titles)) == len(titles)


@every_text
def test_links_lead_somewhere(page: Path) -> None:
    """A reader would follow a link to a page or a heading that does not exist."""
    targets = [str(token.attrGet("href")) for token in inline_of(page) if token.type == "link_open"]
    for target in targets:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        assert file.exists(), f"{target}: there is no {file}"
        if parts.fragment:
            assert parts.fragment in anchors_of(file), f"{target}: {file.name} has no such heading"


@every_page
def test_a_page_is_safe_for_mdx(page: Path) -> None:
    """The Docusaurus build would fail on a brace or a tag outside of code."""
    for token in tokens_of(page):
        assert token.type != "html_block", token.content
    for token in inline_of(page):
        assert token.type != "html_inline", token.content
        if token.type == "text":
            assert not re.search(r"[<{}]", token.content), token.content


@every_page
def test_json_in_the_handbook_is_json(page: Path) -> None:
    """A developer would copy an example that no parser reads."""
    for token in tokens_of(page):
        if token.type == "fence" and token.info == "json":
            json.loads(token.content)


@every_text
def test_commands_exist(page: Path) -> None:
    """A reader would type a command or an option that `lectern` does not have."""
    for code in code_of(page):
        for line in code.replace("\\\n", " ").splitlines():
            named = re.search(r"(?:^|bin/| )lectern ([a-z]+)\b(.*)", line)
            if named and not line.startswith(("cd ", "git ", "from ", "import ")):
                assert_command(named[1], named[2], line)


def assert_command(name: str, rest: str, line: str) -> None:
    context = click.Context(main)
    command = main.get_command(context, name)
    assert command is not None, f"{line}: there is no command {name}"
    if isinstance(command, click.Group):
        named = re.match(r"\s+([a-z]+)", rest)
        if named:
            assert named[1] in command.commands, f"{line}: {name} has no command {named[1]}"
            command = command.commands[named[1]]
    known = {option for parameter in command.params for option in parameter.opts}
    for option in re.findall(r"(?<![\w-])--[a-z-]+", rest.split("|", maxsplit=1)[0]):
        assert option in known, f"{line}: {name} has no option {option}"


def test_every_command_is_described() -> None:
    """A user would not learn of a command or of an option."""
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert f"lectern {name}" in text
        members = command.commands.values() if isinstance(command, click.Group) else ()
        for one in (command, *members):
            assert one is command or f"lectern {name} {one.name}" in text
            for parameter in one.params:
                if isinstance(parameter, click.Option) and not parameter.hidden:
                    assert parameter.opts[0] in text, f"{name} {parameter.opts[0]} is not described"


@every_text
def test_make_targets_exist(page: Path) -> None:
    """A reader would call a make target that is not there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for code in code_of(page):
        for named in re.findall(r"^make (?:[A-Z]+=\S+ )*([a-z-]+)", code, re.MULTILINE):
            assert named in targets, f"there is no make {named}"


@every_text
def test_settings_exist(page: Path) -> None:
    """An operator would set a variable that nobody reads."""
    known = {item.env for item in declarations()} | OTHER_VARIABLES
    for code in code_of(page):
        named = re.findall(r"\bLECTERN_\w*[A-Z]\b", code)
        named += re.findall(r"^(?:export )?([A-Z][A-Z_]*_[A-Z_]+)=", code, re.MULTILINE)
        assert set(named) <= known


@every_text
def test_files_that_are_named_exist(page: Path) -> None:
    """A developer would look for a file or a folder that is not there."""
    for code in code_of(page):
        named = re.fullmatch(r"(?:shared|functions|tests|config|docs)/[\w./-]*", code)
        assert not named or (ROOT / code).exists(), code


def test_pages_that_the_code_names_exist() -> None:
    """The hint of an error would send an operator, in the middle of trouble, to a page that is not there."""
    folders = [ROOT / name for name in ("shared", "functions", "terraform", "config")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in CODE]
    files += [ROOT / name for name in ("Makefile", "cloudbuild.yaml", "project.toml")]
    named = {
        (page, str(path.relative_to(ROOT)))
        for path in files
        if ".terraform" not in path.parts
        for page in re.findall(r"\bdocs/[\w./-]+\.mdx?\b", path.read_text(encoding="utf-8"))
    }
    assert named
    assert not [one for one in sorted(named) if not (ROOT / one[0]).is_file()]


def test_the_configuration_reference_is_fresh() -> None:
    """An operator would read defaults that are not those of the code."""
    page = (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference(), "Refresh it: lectern config --reference > docs/reference/configuration.md"


def test_the_configuration_reference_has_every_setting() -> None:
    """An operator would not find a setting, or would put a secret into a file."""
    rows = reference().splitlines()
    for item in declarations():
        row = next(row for row in rows if row.startswith(f"| `{item.name}` | `{item.env}` |"))
        assert ("**Secret.**" in row) == item.secret


def test_every_error_code_is_described() -> None:
    """A developer would meet an error code that the handbook does not explain."""
    rows = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    for code in {kind.code for kind in error_kinds()}:
        assert f"`{code}`" in rows, f"{code} is not described"
    for status, code in request_errors():
        assert f"| `{code}` | {status} |" in rows, f"{code} with status {status} is not described"


def error_kinds() -> Iterator[type[errors.LecternError]]:
    waiting = [errors.LecternError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__ == errors.__name__ and "code" in vars(kind):
            yield kind


def request_errors() -> Iterator[tuple[int, str]]:
    """Status and code of every RequestError that the source raises, but for the embedded engine's own API."""
    for path in sorted((ROOT / "shared").rglob("*.py")):
        if "embedded" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RequestError":
                first, second = node.args[:2]
                if isinstance(first, ast.Constant) and isinstance(second, ast.Constant):
                    yield int(first.value), str(second.value)


def test_the_answer_in_the_api_page_has_the_fields_of_an_answer() -> None:
    """A developer would read fields that an answer does not have, or miss some that it has."""
    listings = [token for token in tokens_of(DOCS / "reference" / "api.md") if token.info == "json"]
    answers = [value for token in listings if "answer_id" in (value := json.loads(token.content))]
    assert len(answers) == 1
    assert set(answers[0]) == {field.name for field in fields(Answer)}
    assert set(answers[0]["citations"][0]) == {field.name for field in fields(Citation)}


def test_links_of_the_examples_exist() -> None:
    """A developer would be shown a citation that leads nowhere."""
    for page in PAGES:
        for code in code_of(page):
            for path, anchor in re.findall(r'"(/docs/[\w/-]+)#([\w-]+)"', code):
                file = DOCS / (path.removeprefix("/docs/") + ".md")
                assert anchor in anchors_of(file)


def test_golden_questions_point_to_pages() -> None:
    """The scores of the handbook would sink for questions whose page was renamed."""
    golden = read_golden(GOLDEN)
    urls = {url_of(page) for page in PAGES}
    for question in golden.questions:
        assert set(question.relevant) <= urls, question.id
        assert question.exclude <= urls, question.id


def test_golden_questions_are_many_and_of_both_kinds() -> None:
    """A worse index could pass its golden questions by chance."""
    kinds = [question.type for question in read_golden(GOLDEN).questions]
    assert len(kinds) - kinds.count(UNANSWERABLE) >= 40
    assert kinds.count(UNANSWERABLE) >= 20
    assert {"userq", "ident", UNANSWERABLE} == set(kinds)


def test_golden_questions_do_not_copy_headings() -> None:
    """The handbook's scores would flatter, since a heading finds itself."""
    words = re.compile(r"\w+")
    headings = set()
    for page in PAGES:
        read = read_markdown(page.read_text(encoding="utf-8"), url=url_of(page))
        headings |= {
            tuple(words.findall(one.lower())) for section in read.sections for one in section.headings
        }
        headings.add(tuple(words.findall(read.title.lower())))
    for question in read_golden(GOLDEN).questions:
        assert tuple(words.findall(question.text.lower())) not in headings, question.text
