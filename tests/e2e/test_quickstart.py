"""The first notebook, as a person meets it: JupyterLab, the sidebar beside it, and Run All."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

ROOT = Path(__file__).parents[2]

# SKYTORCH_SAVE_SCREENSHOTS=1 renews the pictures of the README; else the tests leave the repository alone.
PICTURES = ROOT / "docs/images" if os.environ.get("SKYTORCH_SAVE_SCREENSHOTS") else None


@pytest.mark.timeout(600)
def test_quickstart_is_seen_in_the_sidebar_while_it_runs(lab: Any, page: Page, tmp_path: Path) -> None:
    shutil.copy(ROOT / "notebooks/quickstart.ipynb", lab.root)
    lab.open(page, "quickstart.ipynb")
    page.get_by_role("tab", name="SkyTorch").click()
    panel = page.get_by_role("region", name="SkyTorch", exact=True)
    expect(panel).to_contain_text("No kernel is connected")

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    session = panel.locator(".jp-SkyTorch-session", has_text="quickstart.ipynb")
    expect(session).to_be_visible()
    expect(panel.locator(".jp-SkyTorch-compute")).to_contain_text("connected")
    operations = panel.locator("[data-metric='torch.operations'] .jp-SkyTorch-value")
    expect(operations).to_have_text(re.compile(r"^[1-9].*/s$"))
    before = operations.inner_text()
    expect(operations).not_to_have_text(before)

    shown = page.locator(".jp-Notebook .jp-OutputArea-output")
    expect(shown.filter(has_text="test accuracy")).to_be_visible()
    expect(page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "idle")
    expect(page.locator("[data-mime-type='application/vnd.jupyter.error']")).to_have_count(0)
    expect(session).to_contain_text("active")
    expect(session).to_contain_text(re.compile(r"\dk ops"))

    page.locator(".jp-Notebook img").last.scroll_into_view_if_needed()
    light = picture(page, tmp_path, "sidebar-light.png")
    line = panel.locator("polyline").first
    stroke = line.evaluate("line => getComputedStyle(line).stroke")

    page.evaluate("app => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.locator("body[data-jp-theme-light='false']").wait_for(state="attached")

    expect(line).not_to_have_css("stroke", stroke)
    assert picture(page, tmp_path, "sidebar-dark.png") != light


def picture(page: Page, tmp_path: Path, name: str) -> bytes:
    """What the person sees."""
    return page.screenshot(path=(PICTURES or tmp_path) / name, animations="disabled")
