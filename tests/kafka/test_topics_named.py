"""No two topics have one name."""

import pytest

from sensor.settings import SettingsError, parse_settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[cluster]\nstate_topic = "port25.segments"', "cluster.segments_topic already"),
        ('[kafka]\nacts_topic = "port25.alerts"', "kafka.alerts_topic already"),
        ('[cluster]\ndecide_topic = "a"\n[kafka]\ndesk_topic = "a"', "kafka.desk_topic already"),
    ],
)
def test_what_is_written_to_one_topic_is_not_read_as_another(text, said):
    with pytest.raises(SettingsError, match=said):
        parse_settings(text)


def test_topics_that_are_not_used_have_none():
    assert parse_settings('[kafka]\nacts_topic = ""').kafka.acts_topic == ""
