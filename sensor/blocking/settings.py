"""The settings of blocking: whether and how alerts become blocks."""

from typing import Annotated, Final, Literal

import msgspec

from sensor.alerts.abuse import BLOCKED, Abuse
from sensor.blocking.coa.settings import CoaSettings
from sensor.blocking.http_settings import HttpSettings

__all__ = ["LONGEST", "BlockingSettings"]

LONGEST: Final = 30 * 86_400
"""Seconds that no block outlasts."""

Seconds = Annotated[int, msgspec.Meta(ge=10, le=LONGEST)]


class BlockingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether and how alerts become blocks."""

    mode: Literal["off", "dry-run", "enforce"] = "dry-run"
    """``dry-run``: decide and write down, block nothing"""
    kinds: tuple[Abuse, ...] = BLOCKED
    """of abuse for which an alert may recommend a block: spam, worm, credential guessing, scanning,
    relay testing, unknown
    """
    ttl: Annotated[tuple[Seconds, ...], msgspec.Meta(min_length=1, max_length=16)] = (
        3600,
        21_600,
        86_400,
        604_800,
    )
    """seconds of a first block, of a second...; the last is that of all later ones"""
    memory: Annotated[int, msgspec.Meta(ge=0, le=366 * 86_400)] = 30 * 86_400
    """seconds after the end of a block within which the host that comes back is a repeater"""
    source_validation: bool = False
    """whether the access network lets nobody send under another's address (BCP 38 and 84 or SAVI,
    for each line and not for the border alone): then a SYN is its sender's, and connections that
    are opened are proof, answered or not
    """
    release_on_clear: bool = True
    """whether a block ends when its alert closes"""
    hold: Annotated[int, msgspec.Meta(ge=0, le=366 * 86_400)] = 86_400
    """seconds for which whom a person released is not blocked again"""
    max_blocks: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    """blocks in force at a time"""
    max_share: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = 0.01
    """their share of all subscribers; one is always allowed"""
    subscribers: Annotated[int, msgspec.Meta(ge=0)] = 0
    """how many there are; 0: as many as IPv4 addresses in ``subscriber_prefixes``, if any"""
    max_per_minute: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 60
    """new blocks within a minute"""
    quiet: Annotated[int, msgspec.Meta(ge=0, le=7 * 86_400)] = 600
    """seconds with fewer than ``max_per_minute`` hosts turned away, after each of which blocking
    that stopped itself goes on by a step; 0: only a person lets it
    """
    flood: Annotated[int, msgspec.Meta(ge=1)] = 500
    """alerts raised within a minute that call for a person"""
    coa: CoaSettings = CoaSettings()
    """blocks carried out by RADIUS (``port25 controller --coa``)"""
    http: HttpSettings = HttpSettings()
    """the block list for appliances (``port25 blocklist --format http --follow``)"""
