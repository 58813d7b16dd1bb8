"""Agents for Photon: programs without an open port that take tasks from the nearest region, and go
on in the next one, with what they have done, when that is lost."""

from .agent import Agent
from .client import Client, Published, Sent, TopicMessage
from .content import Answer, Message, Part, Reply
from .errors import Failed, Paused, PhotonError, Problem, Rejected
from .task import ArtifactStream, Task

__all__ = [
    "Agent",
    "Answer",
    "ArtifactStream",
    "Client",
    "Failed",
    "Message",
    "Part",
    "Paused",
    "PhotonError",
    "Problem",
    "Published",
    "Rejected",
    "Reply",
    "Sent",
    "Task",
    "TopicMessage",
]

__version__ = "0.1.0"
