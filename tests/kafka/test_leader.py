"""Two brokers: the leader of half the partitions dies, and everything arrives all the same."""

from lab.broker import Broker, by_id
from lab.waiting import wait_for
from tests.conftest import needs
from tests.kafka.test_away import Desk

SECOND = """
process.roles=broker
node.id=2
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
"""


def test_a_changed_leader(tmp_path):
    needs("java", "mvn")
    first = Broker(tmp_path / "first").start()
    try:
        second = Broker(tmp_path / "second")
        second.properties = SECOND.format(controller=first.port + 1, port=second.port)
        second.start()
        desk = Desk(tmp_path, f'{first.bootstrap}", "{second.bootstrap}', "replication = 2\n")
        try:
            desk.write(500)
            wait_for(lambda: desk.kafka("acknowledged") == 500, 60, "the first half")
            assert {1, 2} == first.leaders("port25.alerts")
            second.kill()
            desk.write(500)
            wait_for(lambda: desk.kafka("acknowledged") >= 1000, 90, "the second half")
            assert first.leaders("port25.alerts") == {1}
        finally:
            desk.stop(5)
        assert len(by_id(first.read("port25.alerts"))) == 1000
    finally:
        first.kill()
