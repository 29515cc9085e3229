"""Leader election among Beats: the one that holds the lease in `BeatLeader` leads, the others follow."""

import os
import socket
import uuid
from contextlib import suppress

import structlog
from django.db import Error as DatabaseError

from durable.conf import conf
from durable.tasks.models import BeatLeader

logger = structlog.get_logger(__name__)


class LostLeadershipError(Exception):
    """Another Beat has become the leader."""


class Candidate:
    """This Beat in the election."""

    def __init__(self) -> None:
        self.token = uuid.uuid4()
        self.name = f"{socket.gethostname()} {os.getpid()}"
        self.leads = False
        self.leader = ""  # the last one that was logged

    def renew(self) -> bool:
        """Renew the lease; False if another Beat leads."""
        return BeatLeader.objects.renew(self.token, conf.BEAT_LEASE)

    def acquire(self) -> bool:
        """Become the leader; False if another Beat leads, which is logged once."""
        self.leads = BeatLeader.objects.acquire(self.token, self.name, conf.BEAT_LEASE)
        leader = self.name if self.leads else str(BeatLeader.objects.get())
        if self.leads:
            logger.info("beat_became_leader", beat=self.name)
        elif leader != self.leader:
            logger.info("beat_follows", beat=self.name, leader=leader)
        self.leader = leader
        return self.leads

    def step_down(self) -> None:
        """Stop leading: the lease is lost, or cannot be renewed."""
        if self.leads:
            logger.warning("beat_lost_leadership", beat=self.name)
        self.leads = False

    def release(self) -> None:
        """Give up the lease, so that another Beat takes over at once."""
        if self.leads:
            self.leads = False
            with suppress(DatabaseError):  # then the lease expires
                BeatLeader.objects.release(self.token)
                logger.info("beat_released_leadership", beat=self.name)
