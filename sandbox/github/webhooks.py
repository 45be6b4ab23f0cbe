"""Tells the repositories' webhooks what happened, from threads of its own, signed as GitHub signs.

GitHub tries each delivery once and gives the receiver ten seconds; what failed is kept, to be asked for again.
"""

import hashlib
import hmac
import http.client
import json
import queue
import threading
import time
import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

from sandbox import faults
from sandbox.clock import Clock
from sandbox.github.records import Delivery, Hook, Repository
from sandbox.github.state import State
from sandbox.wire import Json

RECEIVER_SECONDS = 10.0
SENDERS = 4
KEPT_DELIVERIES = 1000
FAILED_STATUS = 502
TIMED_OUT_STATUS = 504
_END = None


@dataclass(frozen=True)
class _Letter:
    hook: Hook
    delivery: Delivery


class Webhooks:
    """Delivers events; nothing is sent before ``start`` and after ``stop``.

    Args:
        state: Whose repositories have the hooks.
        lost: The faults that are set; those of deliveries are used up here.
    """

    def __init__(self, state: State, lost: faults.Faults) -> None:
        self._state = state
        self._lost = lost
        self._clock: Clock = state.clock
        self._letters: queue.SimpleQueue[_Letter | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._send_all) for _ in range(SENDERS)]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the deliveries that are under way."""
        for _ in self._threads:
            self._letters.put(_END)
        for thread in self._threads:
            thread.join()

    def tell(self, repository: Repository, event: str, action: str | None, payload: Json) -> None:
        """Send an event to every hook of a repository that wants it."""
        for hook in repository.hooks.values():
            if hook.wants(event):
                self.send(repository, hook, event, action, payload)

    def send(self, repository: Repository, hook: Hook, event: str, action: str | None, payload: Json) -> None:
        """Send an event to one hook; a fault may lose it, and then nothing tells that it was due."""
        loss = self._lost.take_delivery(event, action)
        if loss is not None and loss.kind == "lost_delivery":
            return
        body = json.dumps(payload, separators=(",", ":")).encode()
        guid = str(uuid.uuid4())
        delivery = Delivery(
            id=self._state.new_id("delivery", 12_000_000_001),
            guid=guid,
            event=event,
            action=action,
            body=body,
            headers=_headers(repository, hook, event, guid, body),
            at=self._clock.now(),
            redelivery=False,
        )
        self._post(hook, delivery, unreachable=loss is not None)

    def send_again(self, hook: Hook, old: Delivery) -> None:
        """Send a delivery once more: the same body under the same guid."""
        delivery = Delivery(
            id=self._state.new_id("delivery", 12_000_000_001),
            guid=old.guid,
            event=old.event,
            action=old.action,
            body=old.body,
            headers=dict(old.headers),
            at=self._clock.now(),
            redelivery=True,
        )
        loss = self._lost.take_delivery(old.event, old.action)
        self._post(hook, delivery, unreachable=loss is not None)

    def _post(self, hook: Hook, delivery: Delivery, *, unreachable: bool) -> None:
        hook.deliveries.append(delivery)
        del hook.deliveries[:-KEPT_DELIVERIES]
        if unreachable:
            delivery.status, delivery.status_code = "failed to connect to host", FAILED_STATUS
            return
        self._letters.put(_Letter(hook, delivery))

    def _send_all(self) -> None:
        while (letter := self._letters.get()) is not _END:
            _deliver(letter.hook.url, letter.delivery)


def _headers(repository: Repository, hook: Hook, event: str, guid: str, body: bytes) -> dict[str, str]:
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/5a9d0b1",
        "X-GitHub-Delivery": guid,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": str(hook.id),
        "X-GitHub-Hook-Installation-Target-ID": str(repository.id),
        "X-GitHub-Hook-Installation-Target-Type": "repository",
    }
    if hook.secret:
        key = hook.secret.encode()
        headers["X-Hub-Signature"] = f"sha1={hmac.new(key, body, hashlib.sha1).hexdigest()}"
        headers["X-Hub-Signature-256"] = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
    return headers


def _deliver(url: str, delivery: Delivery) -> None:
    """Post a delivery and note how it went; the status code comes last, for it says that all is noted."""
    parts = urlsplit(url)
    started = time.monotonic()
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=RECEIVER_SECONDS)
    try:
        connection.request("POST", parts.path or "/", body=delivery.body, headers=delivery.headers)
        answer = connection.getresponse()
        delivery.answer = answer.read(65_536).decode("utf-8", "replace")
        status, text = (
            answer.status,
            "OK" if answer.status < 400 else f"Invalid HTTP Response: {answer.status}",
        )
    except TimeoutError:
        status, text = TIMED_OUT_STATUS, "timed out"
    except (OSError, http.client.HTTPException):
        status, text = FAILED_STATUS, "failed to connect to host"
    finally:
        connection.close()
    delivery.seconds = round(time.monotonic() - started, 2)
    delivery.status, delivery.status_code = text, status
