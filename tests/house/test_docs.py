"""The documentation is true: it names every setting, metric, command, fail-point and table that exists, and no other.

docs/api.md and docs/simulators.md have tests of their own. Whether the commands work is tried in `tests/cli`.
"""

import re
import textwrap
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import msgspec
import pytest
import typer
from msgspec.structs import FieldInfo, fields
from typer.main import get_command

from gateway import failpoints
from gateway.adapters import Port, kinds
from gateway.app import metrics
from gateway.cli.commands import app
from gateway.config import ApiSection, CarrierSection, Config, EngineSection, GatewaySection, PageSection, read
from gateway.core.caps import Caps
from gateway.core.carrier_files import Files
from gateway.core.limits import Limits
from gateway.core.payment import BreakKind, EventType
from gateway.core.sim_rule import SimRule
from gateway.store import tables
from tests.house.tree import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "[gateway]": GatewaySection,
    "[api]": ApiSection,
    "[page]": PageSection,
    "[engine]": EngineSection,
    "[carriers.<name>]": CarrierSection,
    "[carriers.<name>.limits]": Limits,
    "[carriers.<name>.caps]": Caps,
    "[carriers.<name>.sim_rule]": SimRule,
    "[carriers.<name>.files]": Files,
}


def part(page: str, heading: str) -> str:
    """What stands under *heading*, up to the next one of its kind or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n", page, re.MULTILINE)
    assert found is not None, f"no heading {heading}"
    rest = page[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end is not None else rest


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in *text*, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    ruled = [number for number, row in enumerate(cells) if set("".join(row)) <= set("-| ")]
    heads = {number - 1 for number in ruled} | set(ruled)
    return [row for number, row in enumerate(cells) if number not in heads]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_setting_is_explained_and_nothing_else(heading: str) -> None:
    known = [field.name for field in fields(SECTIONS[heading])]
    assert [names(row[0])[0] for row in rows(part(OPERATIONS, f"`{heading}`"))] == known


def test_the_sections_are_those_of_the_file() -> None:
    assert {field.name for field in fields(Config)} == {heading.strip("[]").split(".")[0] for heading in SECTIONS}


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_defaults_are_those_of_the_code(heading: str) -> None:
    written = {names(row[0])[0]: row[1].replace("`", "") for row in rows(part(OPERATIONS, f"`{heading}`"))}
    for field in fields(SECTIONS[heading]):
        if field.default is msgspec.NODEFAULT:
            assert written[field.name] == "–", field.name
        else:
            assert written[field.name] == shown(field.default), field.name


def shown(default: object) -> str:
    match default:
        case None | "" | () | []:
            return "empty"
        case dict() if not default:
            return "empty"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
        case tuple():
            return ", ".join(f"{number:g}" for number in default)
        case _:
            return str(default)


@pytest.mark.parametrize("port", ["Bearer", "Biller", "UssdChannel", "SimSwap"])
def test_every_adapters_settings_and_defaults_are_explained_and_nothing_else(port: Port) -> None:
    page = (ROOT / "docs" / "carriers.md").read_text(encoding="utf-8")
    for name, kind in kinds(port).items():
        written = {names(row[0])[0]: row[1].replace("`", "") for row in rows(first_table(part(page, name)))}
        known = {field.name: "–" if field.required else shown(default_of(field)) for field in fields(kind.settings)}
        assert list(written.items()) == list(known.items()), f"{port} {name}"


def first_table(text: str) -> str:
    found = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert found is not None
    return found[0]


def default_of(field: FieldInfo) -> object:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def test_the_complete_configuration_can_be_read(tmp_path: Path) -> None:
    [example] = [block for block in fenced(OPERATIONS, "toml") if "[gateway]" in block]
    path = tmp_path / "gateway.toml"
    path.write_text(example, encoding="utf-8")
    environment = dict.fromkeys(re.findall(r"env:(\w+)", example), "ab" * 4)
    environment["GATEWAY_DATABASE"] = "postgresql+psycopg://gateway@db.internal/gateway"
    environment["ACME_CALLBACK_KEY"] = environment["GATEWAY_CODE_KEY"] = "ab" * 32
    config, _ = read(path, environment)
    assert config.carriers["acme"].mode == "live" and not config.gateway.development


def test_the_environment_is_listed() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    listed = {name for row in rows(part(OPERATIONS, "Environment")) for name in names(row[0])}
    assert listed == set(re.findall(r'"(GATEWAY_[A-Z_]+)"', code))


def commands() -> Iterator[tuple[str, set[str]]]:
    """Each command and its options."""

    def walk(command: typer.core.TyperCommand | typer.core.TyperGroup, name: str) -> Iterator[tuple[str, set[str]]]:
        children = getattr(command, "commands", {})
        if not children:
            found = {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
            yield name, found - {"--help"}
        for child in children.values():
            yield from walk(child, f"{name} {child.name}")

    root = get_command(app)
    assert isinstance(root, typer.core.TyperGroup)
    yield from walk(root, "gateway")


def test_every_command_and_option_is_listed_and_nothing_else() -> None:
    listed = {names(row[0])[0]: set(names(row[1])) for row in rows(part(OPERATIONS, "Commands"))}
    assert listed == dict(commands())


def test_the_commands_of_the_pages_exist() -> None:
    known = {name.removeprefix("gateway ").split()[0] for name, _ in commands()}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = "\n".join(re.findall(r"^```.*?^```$|`[^`\n]+`", text, re.MULTILINE | re.DOTALL))
        used = re.findall(r"(?:^|`|\$ |bin/)gateway ([a-z]+)(?=[ `\n])", code, re.MULTILINE)
        assert set(used) <= known, page.name


def test_the_make_targets_of_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        used = re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(used) <= targets, page.name
    assert all(f"make {target}" in README for target in ("demo", "test", "check", "bench"))


def test_every_metric_is_explained_and_nothing_else() -> None:
    listed = [names(row[0])[0] for row in rows(part(OPERATIONS, "Metrics"))]
    assert sorted(listed) == sorted(metrics.NAMES)


def test_only_metrics_that_exist_are_watched() -> None:
    assert set(re.findall(r"`(gateway_\w+)`", OPERATIONS)) <= set(metrics.NAMES)


def test_every_kind_of_break_is_explained() -> None:
    assert [names(row[0])[0] for row in rows(part(OPERATIONS, "Breaks"))] == list(BreakKind)


def test_every_fail_point_is_listed_and_nothing_else() -> None:
    listed = [name for row in rows(part(OPERATIONS, "Fail-points")) for name in names(row[1])]
    assert sorted(listed) == sorted(failpoints.NAMES)


def test_tables_and_columns_of_the_pages_exist() -> None:
    known = tables.metadata.tables
    for row in rows(part(OPERATIONS, "Privacy")):
        assert set(names(row[0])) <= set(known)
    dotted = set(re.findall(r"`(\w+\.\w+)`", part(OPERATIONS, "Privacy"))) - set(EventType)
    for table, column in (name.split(".") for name in dotted):
        assert column in known[table].c
    for statement in fenced(OPERATIONS, "sql"):
        [table] = re.findall(r'(?:FROM|UPDATE) "?(\w+)"?', statement)
        assert table in known, statement


def test_the_texts_of_the_dialogues_are_those_of_the_catalogues() -> None:
    patterns = [re.compile(r"\d\d/\d\d .+ [0-9A-Z]{8}|\d/\d")]  # A line of a statement, or its page's number.
    for file in (resources.files("gateway.core") / "catalogues").iterdir():
        for key, text in tomllib.loads(file.read_text(encoding="utf-8"))["texts"].items():
            if key != "statement":
                patterns.append(re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(text))))
    for page in ("README.md", "docs/dialogues.md"):
        texts = re.findall(r"^ *< (?:22345: )?(.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert texts
        assert [text for text in texts if not any(pattern.fullmatch(text) for pattern in patterns)] == []


def test_the_screens_of_the_pages_are_those_of_the_catalogues() -> None:
    patterns = [
        re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(text).replace(re.escape("{lines}"), "(?s:.+)")))
        for file in (resources.files("gateway.core") / "catalogues").iterdir()
        for text in tomllib.loads(file.read_text(encoding="utf-8"))["screens"].values()
    ]
    page = (ROOT / "docs" / "ussd.md").read_text(encoding="utf-8")
    # What stands behind the margin is shown; what was typed or dialled stands at it.
    shown = [textwrap.dedent(screen).strip("\n") for block in fenced(page, "text") for screen in SHOWN.findall(block)]
    assert len(shown) >= 5
    assert [screen for screen in shown if not any(pattern.fullmatch(screen) for pattern in patterns)] == []


SHOWN = re.compile(r"(?:^ +\S.*\n)+", re.MULTILINE)


def headings(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        file, _, heading = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (heading and heading not in headings(target)):
            dead.append(link)
    assert dead == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen:
            continue
        seen.add(page)
        links = re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8"))
        todo += [(page.parent / link).resolve() for link in links if not link.startswith("http")]
    assert set(PAGES) <= seen
