"""A browser that is slow costs bounded memory and still learns the latest."""

from __future__ import annotations

from jupyter_skytorch.web.mailbox import Mailbox


async def test_the_oldest_metrics_make_room_and_the_latest_state_stays() -> None:
    mailbox = Mailbox(limit=2)
    mailbox.put_state({"state": 1})
    mailbox.put_state({"state": 2})
    for number in range(5):
        mailbox.put_metrics({"metrics": number})
    mailbox.close()

    messages = []
    while (message := await mailbox.get()) is not None:
        messages.append(message)

    assert messages == [{"state": 2}, {"metrics": 3}, {"metrics": 4}]
