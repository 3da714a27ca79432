"""Clusters of three real parties: who is in one, and how each proves it.

roster = Roster.read("study/cluster.toml")
identity = Identity.read("study/party-0", roster)
endpoint = Endpoint(identity.credentials, roster.refusal)  # jmpc.runtime.tls
"""

from __future__ import annotations

from jmpc.cluster.doctor import Report, check
from jmpc.cluster.faults import Fault
from jmpc.cluster.identity import Identity
from jmpc.cluster.members import Deadlines, Member, Revoked
from jmpc.cluster.roster import Roster

__all__ = ["Deadlines", "Fault", "Identity", "Member", "Report", "Revoked", "Roster", "check"]
