"""The sidebar in a real JupyterLab: what a person sees before, while and after there is something to see."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, WebSocket, expect

pytestmark = pytest.mark.timeout(400)

PANEL = "#jupyter-skytorch-panel"


def open_panel(page: Page) -> None:
    """Opens the sidebar as a person does."""
    page.get_by_role("tab", name="SkyTorch").click()
    expect(page.get_by_role("heading", name="SkyTorch")).to_be_visible()


def run_all_cells(page: Page) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def test_it_says_how_to_connect_when_nothing_is_connected(lab: Any, page: Page) -> None:
    lab.open(page)
    open_panel(page)

    panel = page.get_by_role("region", name="SkyTorch")
    expect(panel).to_contain_text("No kernel is connected to a torch server")
    expect(panel).to_contain_text("%sky connect")


def test_it_opens_from_the_keyboard_by_the_command_palette(lab: Any, page: Page) -> None:
    lab.open(page)
    page.get_by_role("tab", name="Launcher").wait_for()
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input:focus").wait_for()
    page.keyboard.type("Show SkyTorch")
    expect(page.locator(".lm-CommandPalette-item.lm-mod-active")).to_contain_text("Show SkyTorch")
    page.keyboard.press("Enter")

    expect(page.locator(PANEL)).to_be_visible()


def test_it_is_connected_only_while_it_is_shown(lab: Any, page: Page) -> None:
    sockets: list[WebSocket] = []
    page.on("websocket", lambda socket: sockets.append(socket) if "skytorch" in socket.url else None)
    lab.open(page)
    assert sockets == []

    open_panel(page)
    expect(page.locator(PANEL)).to_contain_text("No kernel is connected")
    (socket,) = sockets
    assert not socket.is_closed()

    with socket.expect_event("close", timeout=60_000):
        page.get_by_role("tab", name="File Browser").click()

    open_panel(page)
    expect(page.locator(PANEL)).to_contain_text("No kernel is connected")
    assert [one.is_closed() for one in sockets] == [True, False]


def test_it_says_when_its_two_parts_are_of_different_versions(lab: Any, page: Page) -> None:
    def older(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=json.dumps({**answer.json(), "version": "0.0.1"}))

    page.route("**/skytorch/api/status*", older)
    lab.open(page)
    open_panel(page)

    alert = page.locator(PANEL).get_by_role("alert")
    expect(alert).to_contain_text(re.compile(r"This page runs version \S+ of the SkyTorch sidebar"))
    expect(alert).to_contain_text("the Jupyter server version 0.0.1. Restart Jupyter, then reload this page.")


def test_it_says_when_a_server_is_gone_and_when_it_is_back(lab: Any, page: Page, torch_server: Any) -> None:
    notebook = lab.notebook("train.ipynb", "%load_ext jupyter_skytorch", f"%sky connect {torch_server.address}")
    lab.open(page, notebook)
    open_panel(page)
    run_all_cells(page)
    compute = page.locator(".jp-SkyTorch-compute", has_text=torch_server.address)
    session = compute.get_by_role("listitem").filter(has_text="train.ipynb")
    expect(session).to_contain_text("active")
    expect(compute.get_by_role("img", name=re.compile("^CPU: now "))).to_be_visible()
    expect(compute.get_by_role("img", name=re.compile("^Queued: now "))).to_be_visible()
    expect(compute.locator(".jp-SkyTorch-label").filter(has_text=re.compile(r"\w\.\w"))).to_have_count(0)

    torch_server.kill()

    expect(compute).to_contain_text("server gone")
    expect(compute).to_contain_text("nothing answers at its address")
    expect(page.get_by_role("status").filter(has_text="server gone")).to_have_count(1)

    torch_server.start()

    expect(compute).to_contain_text("connected")
    expect(session).to_contain_text("its server was started anew")


def test_a_notebook_is_opened_from_its_session(lab: Any, page: Page, torch_server: Any) -> None:
    notebook = lab.notebook("opened.ipynb", "%load_ext jupyter_skytorch", f"%sky connect {torch_server.address}")
    lab.open(page, notebook)
    open_panel(page)
    run_all_cells(page)
    link = page.locator(PANEL).get_by_role("button", name="opened.ipynb")
    expect(link).to_be_visible()
    tab = page.get_by_role("main").get_by_role("tab", name="opened.ipynb")
    page.get_by_role("button", name="New Launcher").first.click()
    expect(tab).to_have_attribute("aria-selected", "false")

    link.focus()
    page.keyboard.press("Enter")

    expect(tab).to_have_attribute("aria-selected", "true")


def test_the_session_of_a_killed_kernel_says_when_it_ends_and_is_kept_by_the_keyboard(
    lab: Any, page: Page, torch_server: Any
) -> None:
    notebook = lab.notebook(
        "killed.ipynb",
        "%load_ext jupyter_skytorch",
        f"%sky connect {torch_server.address} --idle-timeout 90",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    )
    lab.open(page, notebook)
    open_panel(page)
    run_all_cells(page)
    # Jupyter says so, and waits for the person to have read it.
    page.locator(".jp-Dialog").get_by_role("button").last.click()
    session = page.locator(PANEL).get_by_role("listitem").filter(has_text="kernel gone").last
    expect(session).to_contain_text(re.compile(r"ends in \d\d s: no heartbeat|ends in 1 min: no heartbeat"))
    keep = session.get_by_role("button", name=re.compile("^Keep the session of"))

    keep.focus()
    page.keyboard.press("Enter")

    expect(session.get_by_role("status")).to_have_text("Kept.")
