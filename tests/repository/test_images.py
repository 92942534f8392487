"""The images' Dockerfiles, as far as can be told without building them: what they copy, install and start is there."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: The image's name, what it starts, what it installs beside the wheel.
IMAGES = {
    "server": ("skytorch-server", "server/requirements.txt"),
    "operator": ("skytorch-operator", "server/deploy/operator-requirements.txt"),
}


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def steps(image: str) -> list[tuple[str, str]]:
    parser = DockerfileParser(path=str(ROOT / f"server/deploy/{image}.Dockerfile"), cache_content=True)
    return [(step["instruction"], step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]


def values(steps: list[tuple[str, str]], instruction: str) -> list[str]:
    return [value for name, value in steps if name == instruction]


def test_stages_begin_with_a_base_or_an_earlier_stage(steps: list[tuple[str, str]]) -> None:
    stages: set[str] = set()
    for value in values(steps, "FROM"):
        base, *alias = value.split()
        assert base == "${BASE}" or base in stages, value
        stages |= {*alias[1:]}
    assert len(values(steps, "FROM")) > 1
    for value in values(steps, "COPY"):
        for stage in re.findall(r"--from=(\S+)", value):
            assert stage in stages, value


def test_what_is_copied_is_there_and_not_ignored(steps: list[tuple[str, str]]) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for value in values(steps, "COPY"):
        sources = [] if "--from=" in value else value.split()[:-1]
        for source in sources:
            assert (ROOT / source).exists(), value
            assert source not in ignored


def test_it_runs_as_a_user_that_has_a_number_and_isnt_root(steps: list[tuple[str, str]]) -> None:
    # Kubernetes can't tell of a name whether it is root's.
    assert values(steps, "USER") == ["1000:1000"]
    last = [name for name, _ in steps][-3:]
    assert last[-1] == "ENTRYPOINT"


def test_it_starts_a_command_of_the_wheel(image: str, steps: list[tuple[str, str]]) -> None:
    (entry,) = values(steps, "ENTRYPOINT")
    assert ast.literal_eval(entry) == [IMAGES[image][0]]
    assert IMAGES[image][0] in PROJECT["scripts"]


def test_the_wheel_brings_no_packages_and_the_list_is_installed(image: str, steps: list[tuple[str, str]]) -> None:
    run = " ".join(values(steps, "RUN"))
    words = shlex.split(run)
    assert f"/source/{IMAGES[image][1]}" in words
    assert words[words.index("/wheels/*.whl") - 1] == "--no-deps"


def test_the_operators_list_has_what_it_imports_in_the_projects_versions() -> None:
    listed = [
        Requirement(line)
        for line in (ROOT / IMAGES["operator"][1]).read_text().splitlines()
        if line and not line.startswith("#")
    ]
    known = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["operator"]]
    versions = {requirement.name: requirement.specifier for requirement in map(Requirement, known)}
    for requirement in listed:
        assert requirement.specifier == versions[requirement.name], requirement
    assert {Requirement(line).name for line in PROJECT["optional-dependencies"]["operator"]} <= {
        requirement.name for requirement in listed
    }
