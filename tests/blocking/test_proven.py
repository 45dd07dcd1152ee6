"""On what a block may rest: from packets to recommendation and back."""

from collections.abc import Callable, Iterable, Iterator

import pytest

from lab.conversation import ACK, FIN, MS, PSH, RST, START, SYN, block, frame
from lab.outputs import feed, finish
from sensor.alerts.alert import Alert
from sensor.base.kernel import table
from sensor.blocking.bounds import Bounds
from sensor.blocking.settings import BlockingSettings
from sensor.capture.block import FRAME
from sensor.capture.merge import Captures
from sensor.hosts.in_use import OTHERS
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from tests.blocking.test_policy import Desk
from tests.conftest import ROOT

Frames = list[tuple[int, bytes]]
INPUTS = ROOT.parent / "shared" / "inputs"
VALIDATED = Settings(blocking=BlockingSettings(source_validation=True))
VICTIM = "203.0.113.9"
RUDE = ((b"HELO x\r\nMAIL FROM:<a@b>\r\n", b"554 no\r\n"),)
POLITE = (
    (b"", b"220 mx ESMTP\r\n"), (b"EHLO mail.a.example\r\n", b"250 mx\r\n"),
    (b"MAIL FROM:<a@b>\r\n", b"250 ok\r\n"), (b"RCPT TO:<c@d>\r\n", b"550 no\r\n"),
    (b"QUIT\r\n", b"221 bye\r\n"),
)  # fmt: skip


def connection(
    src: str, dst: str, at: int, sport: int, talk: Iterable[tuple[bytes, bytes]] = RUDE,
    reset: int | None = None, handshake_ms: int = 1,
) -> Frames:  # fmt: skip
    """A connection whose server's numbers are agreed; ``reset``: its holder's, ms after."""
    client, server, now, out = 1000, 5000, at, []

    def put(side: str, seq: int, ack: int, flags: int, payload: bytes = b"") -> None:
        nonlocal now
        now += MS
        ends = (src, dst, sport, 25) if side == "c" else (dst, src, 25, sport)
        out.append((now, frame(*ends, seq, ack, flags, payload)))

    put("c", client, 0, SYN)
    put("s", server, client + 1, SYN | ACK)
    client, server = client + 1, server + 1
    now += (handshake_ms - 1) * MS
    put("c", client, server, ACK)
    for said, answer in talk:
        if said:
            put("c", client, server, ACK | PSH, said)
            client += len(said)
        put("s", server, client, ACK | PSH, answer)
        server += len(answer)
    put("c", client, server, ACK | FIN)
    put("s", server, client + 1, ACK | FIN)
    if reset is not None:
        out.append((at + reset * MS, frame(src, dst, sport, 25, 1001, 0, RST)))
    return out


def servers(networks: int, wide: str = "198.18") -> Iterator[str]:
    return (f"{wide}.{n}.25" for n in range(networks))


def replayed(*frames: Frames) -> tuple[list[Alert], Pipeline]:
    pipeline = Pipeline(Settings())
    every = sorted(one for some in frames for one in some)
    made = block(every)
    rows = table(len(made.frames), FRAME)  # kernels that are not compiled want it so
    rows[:] = made.frames
    return feed(pipeline, made._replace(frames=rows)) + finish(pipeline), pipeline


def attack(hosts: Iterable[str], every_ms: int = 300, host: str = VICTIM, **how: object) -> Frames:
    """Spam, or forged spam, in one host's name."""
    return [
        one
        for n, dst in enumerate(hosts)
        for one in connection(host, dst, START + n * every_ms * MS, 4000 + n, **how)  # type: ignore[arg-type]
    ]


def population(count: int, networks: Callable[[int], Iterable[str]], before: int = 60) -> Frames:
    """Other subscribers with proven contacts, a minute before."""
    return [
        one
        for k in range(count)
        for n, dst in enumerate(networks(k))
        for one in connection(
            f"192.0.2.{k + 1}", dst, START - (before * 1000 - 40 * (k + 100 * n)) * MS,
            5000 + n, POLITE,
        )
    ]  # fmt: skip


def recommended(alerts: list[Alert]) -> set[str]:
    return {one.host for one in alerts if one.block_recommended}


@pytest.mark.parametrize("talk", [RUDE, POLITE, ()], ids=["rude", "polite", "silent"])
@pytest.mark.parametrize("reset", [5, 40, 2500])
def test_a_handshake_its_address_s_holder_denies_is_no_proof(talk, reset):
    alerts, pipeline = replayed(attack(servers(60), talk=talk, reset=reset))
    assert pipeline.counters()["connections"]["denied"] == 60
    late = alerts[-1:] if reset > 1000 else alerts  # what is recommended is taken back
    assert not recommended(late)
    if talk == RUDE:
        assert alerts
        assert alerts[-1].disowned > alerts[-1].proven
        assert "the holder of the address denied" in alerts[-1].block_reason
        assert alerts[-1].severity == "medium"


@pytest.mark.parametrize(
    ("flags", "seq"), [(RST | ACK, 1001), (RST, 1026), (RST, 1000), (RST | ACK, 1027)]
)
def test_a_client_that_resets_its_own_connection_denies_nothing(flags, seq):
    frames = attack(servers(40))
    resets = [
        (START + (n * 300 + 40) * MS, frame(VICTIM, dst, 4000 + n, 25, seq, 5009, flags))
        for n, dst in enumerate(servers(40))
    ]
    alerts, pipeline = replayed(frames, resets)
    assert pipeline.counters()["connections"]["denied"] == 0
    assert recommended(alerts) == {VICTIM}


def test_servers_nobody_else_uses_are_no_proof_where_others_are_seen():
    others = population(OTHERS + 4, lambda k: [f"198.51.100.{k}", "198.51.100.200"])
    alerts, pipeline = replayed(others, attack(servers(120)))
    assert alerts
    assert not recommended(alerts)
    assert pipeline.counters()["connections"]["unbacked"] > 100


def test_servers_that_others_use_are_and_so_are_many_wide_networks():
    everybody = population(OTHERS + 4, lambda k: servers(40) if k == 18 else ["198.51.100.9"])
    assert recommended(replayed(everybody, attack(servers(40)))[0]) == {VICTIM}
    others = population(OTHERS + 4, lambda k: [f"198.51.100.{k}"])
    world = [f"{20 + n}.{n * 7 % 250}.1.25" for n in range(40)]
    assert recommended(replayed(others, attack(world))[0]) == {VICTIM}


def test_bots_that_share_servers_back_each_other():
    """Each network's first visitor counts when the second comes."""
    frames = [
        one
        for n, dst in enumerate(servers(40))
        for k in range(30)
        for one in connection(f"192.0.2.{k}", dst, START + (n * 300 + k * 9) * MS, 4000 + n)
    ]
    alerts, _ = replayed(frames)
    assert recommended(alerts) == {f"192.0.2.{k}" for k in range(30)}


def test_a_small_capture_has_nobody_to_ask():
    others = population(OTHERS - 2, lambda k: [f"198.51.100.{k}"])
    assert recommended(replayed(others, attack(servers(40)))[0]) == {VICTIM}


def dead(count: int) -> Frames:
    """SYNs to who never answers: forged by anybody."""
    return [
        (START + n * 50 * MS, frame(VICTIM, dst, 20_000 + n, 25, 9, 0, SYN))
        for n in range(count)
        for dst in (f"198.19.{n % 250}.{n // 250 + 1}",)
    ]


def test_refusals_and_manners_are_proof_among_forged_syns():
    slowly = attack(servers(7), every_ms=8000)
    alerts, _ = replayed(slowly, dead(1000))
    first = next(one for one in alerts if one.block_recommended)
    assert "servers refused it and" in first.block_reason
    assert first.severity != "medium"


@pytest.mark.parametrize("talk", [POLITE, ((b"HELO x\r\nMAIL FROM:<a@b>\r\n", b"451 later\r\n"),)],
                         ids=["dead addresses", "clumsy and greylisted"])  # fmt: skip
def test_one_of_the_two_is_none(talk):
    alerts, _ = replayed(attack(servers(7), every_ms=8000, talk=talk), dead(1000))
    assert alerts, "forged SYNs"
    assert not recommended(alerts)


def captured(name: str, settings: Settings | None = None) -> list[Alert]:
    path = INPUTS / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    pipeline = Pipeline(settings or Settings())
    alerts: list[Alert] = []
    for one in Captures([str(path)]):
        alerts += feed(pipeline, one)
    return alerts + finish(pipeline)


def test_a_real_send_safe_bot_is_to_be_blocked():
    alerts = captured("send-safe-2017.pcap.gz")
    assert recommended(alerts) == {"10.2.1.101"}
    assert alerts[-1].severity == "critical"
    assert "5 of 5 servers refused it and 4 of 4" in alerts[-1].block_reason
    first = next(one for one in alerts if one.block_recommended)
    assert first.ts / 1e9 - first.first_seen < 60
    assert "10 times within two minutes it came back" in first.block_reason


TURNED_AWAY = ((b"", b"554 5.7.1 not from there\r\n"),)


def insisting(times: int, talk: Iterable[tuple[bytes, bytes]] = TURNED_AWAY) -> Frames:
    """Two servers refuse its mail, two turn it away, and one of these is tried again and again."""
    hosts = [*servers(3), *["198.18.3.25"] * (times + 1)]
    return [
        one
        for n, dst in enumerate(hosts)
        for one in connection(
            VICTIM, dst, START + (n + 1) * 3000 * MS, 3000 + n, RUDE if n < 2 else talk
        )
    ]


@pytest.mark.parametrize(
    ("times", "talk", "whose"),
    [
        (10, TURNED_AWAY, {VICTIM}),
        (9, TURNED_AWAY, set()),
        (40, (*TURNED_AWAY, (b"QUIT\r\n", b"221 bye\r\n")), set()),
        (40, ((b"", b"421 4.7.0 later\r\n"),), set()),
    ],
    ids=["ten times", "nine times", "says QUIT", "put off"],
)
def test_who_comes_back_to_where_it_was_turned_away_needs_fewer_servers(times, talk, whose):
    alerts, _ = replayed(insisting(times, talk), dead(1000))
    assert alerts, "forged SYNs"
    assert recommended(alerts) == whose


def test_nobody_elses_server_makes_a_host_insist():
    """Of wide networks already met no contact counts, and no greeting."""
    nobodys = [
        one
        for n in range(60)
        for one in connection(
            VICTIM, f"198.18.{n // 12 + 9}.77", START + n * 900 * MS, 9000 + n, TURNED_AWAY
        )
    ]
    others = population(OTHERS, lambda k: [f"198.51.100.{k}"])
    alerts, _ = replayed(others, insisting(1), nobodys, dead(1000))
    assert VICTIM in {one.host for one in alerts}
    assert not recommended(alerts)


def test_where_sources_are_validated_it_is_within_seconds():
    alerts = captured("send-safe-2017.pcap.gz", VALIDATED)
    first = next(one for one in alerts if one.block_recommended)
    assert first.ts / 1e9 - first.first_seen < 10
    assert "from an address that nobody else can use" in first.block_reason


@pytest.mark.parametrize(
    ("validated", "blocked"), [(False, set()), (True, {"203.0.113.80"})], ids=["else", "there"]
)
def test_where_sources_are_validated_one_direction_is_enough(validated, blocked, tmp_path):
    """No handshake is proven there, and the policy blocks all the same."""
    pipeline = Pipeline(VALIDATED if validated else Settings())
    one_direction = Captures([str(ROOT / "pcaps" / "one_direction.pcap")])
    alerts = [alert for one in one_direction for alert in feed(pipeline, one)]
    assert alerts and not any(one.handshake_proven for one in alerts)
    assert recommended(alerts) == blocked
    desk = Desk(tmp_path, Bounds((), (), ()), source_validation=validated)
    assert {one.host for one in desk.take(*alerts) if one.action == "block"} == blocked


def test_an_insider_with_servers_of_his_own_gets_no_neighbour_blocked():
    alerts = captured("note-collude-rude.pcap.gz")
    assert alerts
    assert not recommended(alerts)
