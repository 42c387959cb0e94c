"""Each documented error of a host has its fate; docs/hosts.md prints the same table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from synth.errors import Fatal, Rejected, Transient
from synth.profiles import named
from synth.protocol.fates import FATES
from synth.protocol.replies import read
from synth.types import Outcome

HERE = Path(__file__).parent
HOSTS = yaml.safe_load((HERE / "host_errors.yaml").read_text(encoding="utf-8"))
PAGE = (HERE.parent / "docs" / "hosts.md").read_text(encoding="utf-8")
COLUMNS = {
    "waits": ("rate", "capacity"),
    "is asked again": ("transient",),
    "refuses the row": ("permanent", "teacher_refused"),
    "stops the run": ("fatal",),
}
CASES = [
    pytest.param(one, id=f"{host} {one['status']} {one['name']}")
    for host, said in HOSTS.items()
    for one in said["errors"]
]


def table() -> list[str]:
    """The table as docs/hosts.md prints it."""
    lines = [f"| host | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
    for host, said in HOSTS.items():
        cells = [
            ", ".join(f"{one['status']} {one['name']}" for one in said["errors"] if one["fate"] in fates)
            for fates in COLUMNS.values()
        ]
        lines.append(f"| [{host}]({said['source']}) | {' | '.join(cells)} |")
    return lines


@pytest.mark.parametrize("one", CASES)
def test_what_a_host_says_has_the_fate_that_the_table_names(one):
    outcome = Outcome(one["status"], json.dumps(one["body"], ensure_ascii=False).encode())
    with pytest.raises((Transient, Rejected, Fatal)) as caught:
        read(outcome)
    error = caught.value
    found = error.failure if isinstance(error, Transient) else error.reason if isinstance(error, Rejected) else "fatal"
    assert found == one["fate"]
    assert found in FATES
    message = json.dumps(one["body"], ensure_ascii=False)
    assert ("九" in str(error)) == ("九" in message)


def test_every_profile_has_its_errors_in_the_table():
    assert {profile.title for profile in named().values()} == HOSTS.keys()


def test_the_readme_prints_the_table():
    begin = PAGE.index("| host | waits |")
    assert PAGE[begin:].split("\n\n", 1)[0].splitlines() == table()


def test_the_page_says_how_often_each_failure_is_asked_again():
    lines = PAGE[PAGE.index("| class | what came |") :].split("\n\n", 1)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    said = {name.strip("`"): (often, charged) for name, _, often, charged in cells}
    words = {None: "as long as it takes", 1: "1 time"}
    assert said == {
        name: (words.get(fate.resends, f"{fate.resends} times"), "yes" if fate.paid else "no")
        for name, fate in FATES.items()
        if fate.resends != 0
    }
