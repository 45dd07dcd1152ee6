"""The rival of ``port25 correlate``: each SYN with its SYN-ACK, over the topics of two sensors.

    python join.py BOOTSTRAP NORTH,SOUTH JOINED

One query of Flink SQL, so that no packet passes through Python: the fastest and the shortest that
PyFlink has. Either sensor may have seen either direction; a SYN-ACK may be stamped 50 ms
before its SYN, and is waited for as long as a connection is here. What was joined goes out
once, in transactions that end with each checkpoint. Configured by ``FLINK_CONF_DIR``.
"""

import sys

from pyflink.table import EnvironmentSettings, TableEnvironment

bootstrap, sensors, joined = sys.argv[1:]
flink = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
flink.get_config().set("pipeline.name", joined)
flink.execute_sql(f"""
    CREATE TABLE segments (
        ts BIGINT, src STRING, sport INT, dst STRING, dport INT, seq BIGINT, ack BIGINT, flags INT,
        stamp AS TO_TIMESTAMP_LTZ(ts / 1000000, 3),
        WATERMARK FOR stamp AS stamp - INTERVAL '0.05' SECOND
    ) WITH (
        'connector' = 'kafka', 'format' = 'csv', 'topic' = '{sensors.replace(",", ";")}',
        'properties.bootstrap.servers' = '{bootstrap}', 'properties.group.id' = '{joined}',
        'scan.startup.mode' = 'earliest-offset'
    )""")
flink.execute_sql(f"""
    CREATE TABLE joined (asked BIGINT, answered BIGINT, src STRING, sport INT, dst STRING) WITH (
        'connector' = 'kafka', 'format' = 'csv', 'topic' = '{joined}',
        'properties.bootstrap.servers' = '{bootstrap}',
        'properties.transaction.timeout.ms' = '60000',
        'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '{joined}'
    )""")
flink.execute_sql("""
    INSERT INTO joined
    SELECT s.ts, a.ts, s.src, s.sport, s.dst
    FROM segments AS s JOIN segments AS a
        ON s.src = a.dst AND s.dst = a.src AND s.sport = a.dport AND s.dport = a.sport
        AND a.ack = MOD(s.seq + 1, 4294967296)
        AND a.stamp BETWEEN s.stamp - INTERVAL '0.05' SECOND AND s.stamp + INTERVAL '75' SECOND
    WHERE s.flags = 2 AND a.flags = 18""")
