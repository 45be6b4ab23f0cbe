"""The one door to a cluster's API server, and the only module that imports the vendor's package.

The package finds the cluster, reads the credential and renews it, and sends. Its models are not used: they drop
every field that their release does not know, and a pod template put back with less than it had would be another
template. Its retries, redirects and bodies of any size are not wanted either.
"""

import json
import re
import ssl
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode, urlsplit

import urllib3
import yaml

from runbook.clients.kubernetes_answers import MAYBE_CHANGED, NOTHING_CHANGED, PROBE_FIRST, Answer
from runbook.clients.kubernetes_calls import FIELD_MANAGER, Call
from runbook.errors import Ambiguous, Denied, Permanent, RunbookError, Transient, UsageError
from runbook.scrub import register_secret
from runbook.settings import is_loopback

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

JSON_PATCH = "application/json-patch+json"
_CHUNK_BYTES = 65_536
_MOST_CONNECTIONS = 64
_ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-f]+>[,:]? ?")
# Before it could be sent: no connection, or no common understanding with whoever is there.
_NOT_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
_TOO_SLOW = (urllib3.exceptions.ReadTimeoutError, TimeoutError)


@dataclass(frozen=True)
class KubernetesTimeouts:
    """How long to wait for the API server, and how much of an answer to read.

    Args:
        connect_seconds: For the connection to stand.
        read_seconds: Between two pieces of an answer.
        answer_seconds: For a whole answer, however it trickles in.
        service_seconds: For the answer of a service behind the API server.
        largest_bytes: Of one answer; a page of 500 pods takes about 5 MiB.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    answer_seconds: float = 60.0
    service_seconds: float = 10.0
    largest_bytes: int = 64 * 1024 * 1024


class KubernetesTransport:
    """Sends each call once. Thread-safe. Nothing is read or connected to before the first call.

    Args:
        kubeconfig: Who and where; None for the account of the pod that this runs in.
        timeouts: How long to wait.
    """

    def __init__(self, kubeconfig: Path | None, *, timeouts: KubernetesTimeouts) -> None:
        self._kubeconfig = kubeconfig
        self.timeouts = timeouts
        self._lock = threading.Lock()
        self._api: ApiClient | None = None
        self._credential = ""

    def close(self) -> None:
        """Close every connection; the next call reads the kubeconfig anew."""
        with self._lock:
            api, self._api = self._api, None
        if api is not None:
            api.rest_client.pool_manager.clear()

    def send(
        self, call: Call, *, body: Any = None, largest_bytes: int | None = None, seconds: float | None = None
    ) -> Answer:
        """Send a call and return its answer, whatever its status.

        Args:
            call: What is asked.
            body: JSON to send with it.
            largest_bytes: After so many the answer is cut, and says so; without it, that is an error.
            seconds: For the whole answer, instead of the usual.

        Raises:
            UsageError: There is no usable kubeconfig.
            Denied: The credential was refused before anything was read.
            Transient: The API server cannot be reached; or a read got no whole answer.
            Ambiguous: A write was sent and its answer is lost.
            Permanent: The server is not the one that the kubeconfig says, or it sends too much.
        """
        api = self._ready()
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = JSON_PATCH if call.method == "PATCH" else "application/json"
        query = f"?{urlencode(call.query)}" if call.query else ""
        _, url, headers, _, _ = api.param_serialize(
            call.method, call.path + query, header_params=headers, auth_settings=["BearerToken"]
        )
        if (token := headers.get("authorization")) is not None:
            register_secret(token.partition(" ")[2] or token)
        whole = seconds or self.timeouts.answer_seconds
        deadline = time.monotonic() + whole
        try:
            response = api.rest_client.pool_manager.request(
                call.method,
                url,
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=urllib3.Timeout(
                    connect=self.timeouts.connect_seconds, read=min(self.timeouts.read_seconds, whole)
                ),
                preload_content=False,
                redirect=False,
            )
            try:
                data, cut = _read(
                    cast(urllib3.HTTPResponse, response),
                    deadline,
                    largest_bytes or self.timeouts.largest_bytes,
                )
            finally:
                response.close()
        except urllib3.exceptions.SSLError as error:
            raise self._of_tls(call, str(error)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _of_connection(call, error) from error
        if cut and largest_bytes is None:
            raise _too_large(call, self.timeouts.largest_bytes)
        if response.status == 401:
            self.close()
        lower = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, lower, data, cut=cut, credential=self._credential)

    def _ready(self) -> "ApiClient":
        with self._lock:
            if self._api is None:
                self._api = self._connect()
            return self._api

    def _connect(self) -> "ApiClient":
        from kubernetes import client, config  # half a second, for few commands

        settings = client.Configuration()
        # Certificates are handed over as files; they need not outlive this.
        with tempfile.TemporaryDirectory(prefix="runbook-") as folder:
            try:
                if self._kubeconfig is None:
                    config.load_incluster_config(settings)  # type: ignore[no-untyped-call]
                else:
                    config.load_kube_config(  # type: ignore[no-untyped-call]
                        str(self._kubeconfig),
                        client_configuration=settings,
                        persist_config=False,
                        temp_file_path=folder,
                    )
                context = _tls(settings)
                self._credential = _credential(settings)
            except (
                config.ConfigException,
                OSError,
                ValueError,
                TypeError,
                AttributeError,
                yaml.YAMLError,
            ) as error:
                raise self._unusable(error) from None  # a parser's error may quote the file
        if is_loopback(urlsplit(settings.host).hostname or ""):
            settings.no_proxy = "*"
        settings.retries = False
        settings.connection_pool_maxsize = _MOST_CONNECTIONS
        settings.ssl_ca_cert = settings.cert_file = settings.key_file = None
        api = client.ApiClient(settings)
        api.user_agent = FIELD_MANAGER
        if context is not None:
            api.rest_client.pool_manager.connection_pool_kw["ssl_context"] = context
        return api

    def _unusable(self, error: Exception) -> UsageError:
        if self._kubeconfig is None:
            return UsageError(
                f"There is no cluster to speak to: KUBECONFIG is not set, and this is no pod ({error}).",
                next_step="set KUBECONFIG to the file that names the cluster and the product's account there",
            )
        mark = getattr(error, "problem_mark", None)
        why = f"no YAML, see line {mark.line + 1}" if mark else f"{type(error).__name__}: {error}"
        return UsageError(
            f"KUBECONFIG {self._kubeconfig} cannot be used: {why}.",
            next_step=f"see for yourself: kubectl --kubeconfig {self._kubeconfig} version",
        )

    def _of_tls(self, call: Call, said: str) -> RunbookError:
        """Say why TLS failed; a server that refuses our certificate says so in an alert."""
        if "alert" in said.lower() or "certificate required" in said.lower():
            self.close()
            return Denied(
                f"The API server refuses the connection to {call}: {said}.",
                unchanged=NOTHING_CHANGED,
                next_step=f"renew {self._credential or 'what KUBECONFIG names'}",
            )
        if "CERTIFICATE_VERIFY_FAILED" in said or "WRONG_VERSION_NUMBER" in said:
            return Permanent(
                f"The server at the API server's address is not the one expected, for {call}: {said}.",
                unchanged=NOTHING_CHANGED,
                next_step="check server and certificate-authority in the file that KUBECONFIG names",
            )
        if call.writes:
            return Ambiguous(
                f"TLS broke during {call}: {said}.", unchanged=MAYBE_CHANGED, next_step=PROBE_FIRST
            )
        return Transient(f"TLS broke during {call}: {said}.", unchanged=NOTHING_CHANGED)


def _read(response: urllib3.HTTPResponse, deadline: float, largest: int) -> tuple[bytes, bool]:
    """Read up to ``largest`` bytes; the second value says whether there were more."""
    parts: list[bytes] = []
    room = largest
    # read1 takes what is there: a read of a whole piece would wait for it as long as anything trickles in.
    while chunk := response.read1(_CHUNK_BYTES, decode_content=True):
        parts.append(chunk[:room])
        if len(chunk) > room:
            return b"".join(parts), True
        room -= len(chunk)
        if time.monotonic() > deadline:
            raise TimeoutError("the answer trickles in")
    return b"".join(parts), False


def _tls(settings: Any) -> ssl.SSLContext | None:
    """Return what TLS is spoken with, certificates read; None for plain HTTP."""
    if urlsplit(settings.host).scheme != "https":
        return None
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert, cadata=settings.ca_cert_data)
    if not settings.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


def _credential(settings: Any) -> str:
    """Name what the product shows of itself, for an error that asks to renew it."""
    if settings.api_key.get("BearerToken"):
        return "the token that KUBECONFIG names"
    if not settings.cert_file:
        return "what KUBECONFIG names: it holds no credential"
    from cryptography import x509  # only a client certificate needs it

    certificate = x509.load_pem_x509_certificate(Path(settings.cert_file).read_bytes())
    ends = certificate.not_valid_after_utc
    when = "expired" if ends < datetime.now(UTC) else "is valid until"
    return f"the client certificate that KUBECONFIG names: it {when} {ends:%Y-%m-%d %H:%M} UTC"


def _of_connection(call: Call, error: Exception) -> RunbookError:
    away = "see that the API server that KUBECONFIG names runs and is reachable from here"
    if isinstance(error, _NOT_SENT):
        return Transient(
            f"The API server cannot be reached for {call}: {_said(error)}.",
            unchanged=NOTHING_CHANGED,
            next_step=away,
        )
    slow = isinstance(error, _TOO_SLOW)
    why = "gave no whole answer in time" if slow else f"broke the connection off ({_said(error)})"
    if call.writes:
        return Ambiguous(f"The API server {why}, for {call}.", unchanged=MAYBE_CHANGED, next_step=PROBE_FIRST)
    return Transient(f"The API server {why}, for {call}.", unchanged=NOTHING_CHANGED, next_step=away)


def _said(error: Exception) -> str:
    """Return an error's text without the address of the connection that it names."""
    return _ADDRESS.sub("", str(error.args[-1] if error.args else error)).rstrip(".")


def _too_large(call: Call, largest: int) -> RunbookError:
    text = f"The API server sends more than the {largest} bytes that are read of {call}."
    if call.writes:
        return Ambiguous(text, unchanged=MAYBE_CHANGED, next_step=PROBE_FIRST)
    return Permanent(text, unchanged=NOTHING_CHANGED)
