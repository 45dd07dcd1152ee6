"""TLS and SASL against the broker: who is let in, and what is said of who is not."""

import base64
import http.server
import json
import subprocess
import threading
import time
import urllib.parse

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from lab.broker import Broker
from sensor.sinks.kafka.connection import Connection, ConnectionSettingsError, KafkaSettings
from sensor.sinks.kafka.topics import ensure_topics
from tests.conftest import needs
from tests.kafka.test_delivery import Sent

PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{sasl}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl}
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
ssl.keystore.type=PEM
ssl.keystore.location={pem}
listener.name.sasl.scram-sha-256.sasl.jaas.config={login}scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config={login}scram.ScramLoginModule required;
listener.name.sasl.plain.sasl.jaas.config={login}plain.PlainLoginModule required user_carol="pw";
listener.name.sasl.oauthbearer.sasl.jaas.config={login}oauthbearer.OAuthBearerLoginModule required \
unsecuredLoginStringClaim_sub="broker";
"""
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")


class Tokens(http.server.BaseHTTPRequestHandler):
    """An OAuth server: client credentials in, a token out (unsecured JWT, as the broker takes)."""

    asked: list[dict[str, list[str]]]

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.append(urllib.parse.parse_qs(form))
        good = self.asked[-1]["client_secret"] == ["pw"]
        now = int(time.time())
        claims = {"sub": "port25", "iat": now, "exp": now + 300}
        parts = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
            for part in ({"alg": "none"}, claims)
        ]
        answer = {"access_token": ".".join([*parts, ""]), "expires_in": 300}
        self.send_response(200 if good else 401)
        self.end_headers()
        self.wfile.write(json.dumps(answer if good else {"error": "invalid_client"}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    needs("java", "mvn", "openssl")
    folder = tmp_path_factory.mktemp("secure")
    key, crt, pem = (folder / name for name in ("key", "crt", "both.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(crt)],
        check=True, capture_output=True,
    )  # fmt: skip
    pem.write_text(key.read_text() + crt.read_text())
    words = [word for name in SCRAM for word in ("--add-scram", f"{name}=[name=alice,password=pw]")]
    broker = Broker(folder / "data", words=tuple(words))
    login = "org.apache.kafka.common.security."
    ports = {"port": broker.port, "controller": broker.port + 1, "sasl": broker.port + 2}
    broker.properties = PROPERTIES.format(pem=pem, login=login, **ports)
    broker.start()
    yield broker, crt
    broker.kill()


@pytest.fixture
def tokens():
    Tokens.asked = []
    server = http.server.HTTPServer(("127.0.0.1", 0), Tokens)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/token"
    server.shutdown()
    server.server_close()


def settings(broker, crt, folder, password="pw", **more):
    (folder / "password").write_text(f"{password}\n")
    given = {"user": "alice", "password_file": str(folder / "password"), "ca_file": str(crt)}
    bootstrap = (f"127.0.0.1:{broker.port + 2}",)
    return KafkaSettings(bootstrap=bootstrap, security="tls", **(given | more))


def lines(chosen: KafkaSettings) -> str:
    """The settings as TOML."""
    names = ("security", "ca_file", "sasl", "user", "password_file", "token_endpoint")
    return "\n".join(f'{name} = "{getattr(chosen, name)}"' for name in names)


def over_tls(broker, folder, chosen: KafkaSettings) -> Sent:
    """A replay that takes the way of the settings, not the plain one."""
    sent = Sent(broker, folder, lines(chosen))
    text = sent.config.read_text().replace(broker.bootstrap, chosen.bootstrap[0])
    sent.config.write_text(text)
    return sent


@pytest.mark.parametrize(
    ("sasl", "user"),
    [("scram-sha-256", "alice"), ("scram-sha-512", "alice"), ("plain", "carol")],
)
def test_who_knows_the_password_is_let_in(secure, tmp_path, sasl, user):
    broker, crt = secure
    chosen = settings(broker, crt, tmp_path, sasl=sasl, user=user)
    assert ensure_topics(Connection(chosen)).faults == []


def test_alerts_go_over_tls_and_scram(secure, tmp_path):
    broker, crt = secure
    chosen = settings(broker, crt, tmp_path, sasl="scram-sha-512")
    sent = over_tls(broker, tmp_path, chosen)
    done = sent.replay()
    assert done.returncode == 0, done.stderr
    assert len(broker.read(sent.alerts)) == len(done.stdout.splitlines())


def test_oauth_tokens_are_fetched_and_kept_until_they_end(secure, tmp_path, tokens):
    broker, crt = secure
    more = {"sasl": "oauthbearer", "token_endpoint": tokens, "scope": "kafka", "user": "port25"}
    connection = Connection(settings(broker, crt, tmp_path, **more))
    assert ensure_topics(connection).faults == []
    assert ensure_topics(connection).faults == []
    (form,) = Tokens.asked
    assert form["grant_type"] == ["client_credentials"]
    assert form["scope"] == ["kafka"]


def test_refused_credentials_are_a_state_and_lose_nothing(secure, tmp_path):
    broker, crt = secure
    chosen = settings(broker, crt, tmp_path, "wrong", sasl="scram-sha-512")
    sent = over_tls(broker, tmp_path, chosen)
    done = sent.replay()
    said = done.stderr.decode()
    assert done.returncode == 1
    assert "SaslAuthenticationFailedError" in said
    assert "wait for Kafka" in said
    assert "pw" not in said
    assert "wrong" not in said
    (tmp_path / "password").write_text("pw")
    again = sent.replay()
    assert again.returncode == 0, again.stderr
    assert len(broker.read(sent.alerts)) == len(done.stdout.splitlines())


def test_who_may_only_write_is_enough(secure, tmp_path):
    """Topics are there, and how they are configured is none of the sensor's business."""
    broker, crt = secure
    chosen = settings(broker, crt, tmp_path, sasl="plain", user="carol")
    sent = over_tls(broker, tmp_path, chosen)
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    for topic in (sent.alerts, sent.blocklist, sent.health):
        broker.create(topic, cleanup_policy="compact" if topic == sent.blocklist else "delete")
        admin.create_acls([
            ACL("User:carol", "*", ACLOperation.WRITE, ACLPermissionType.ALLOW,
                ResourcePattern(ResourceType.TOPIC, topic))
        ])  # fmt: skip
    admin.close()
    done = sent.replay()
    assert done.returncode == 0, done.stderr
    assert b"how it is configured may not be read" in done.stderr
    assert len(broker.read(sent.alerts)) == len(done.stdout.splitlines())


def test_a_certificate_nobody_vouched_for_is_refused(secure, tmp_path):
    broker, _ = secure
    chosen = settings(broker, "", tmp_path, sasl="scram-sha-512")
    with pytest.raises(Exception, match=r"(?i)certificate|ssl|bootstrap"):
        ensure_topics(Connection(chosen))


def test_a_token_endpoint_must_be_a_url(tmp_path):
    (tmp_path / "password").write_text("x")
    chosen = KafkaSettings(
        sasl="oauthbearer", user="x", password_file=str(tmp_path / "password"),
        token_endpoint="file:///etc/passwd",
    )  # fmt: skip
    with pytest.raises(ConnectionSettingsError, match="token_endpoint"):
        Connection(chosen)
