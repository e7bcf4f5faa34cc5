"""Every error lswarn raises on purpose, in one tree.

    LswarnError
    ├── SettingsError          an environment setting is missing, unknown or makes no sense
    ├── RegionError            region.toml, or a file it names, cannot be used
    ├── RainError
    │   ├── NotYetPublished    the product of that day is not out yet: wait
    │   ├── SourceUnavailable  the server or folder does not answer: try again
    │   ├── AccessDenied       the server wants other credentials: a person must act
    │   ├── CorruptGranule     what came is not the file it claims to be
    │   └── IncompleteWindow   too few days are archived to say anything about seven
    ├── StorageFull            the disk or its quota is full: nothing was kept
    ├── GridMismatch           two grids that must agree do not
    ├── StackNotBuilt          the factor stack is missing or older than region.toml
    ├── ModelError
    │   ├── CheckpointMismatch a checkpoint made for other factors, or not a checkpoint
    │   ├── NoModel            no champion has been promoted for the region
    │   ├── NotPrimed          the critical layers are missing, of another model, or not what priming wrote
    │   ├── NotEnoughMemory    the memory of the machine or its GPU does not suffice for a block
    │   └── TrainingError      nothing to learn from, or the loss is no longer a number
    ├── DatabaseError
    │   ├── DatabaseDown       no connection
    │   └── NotMigrated        the schema is missing or older than this software
    ├── ClusterDown            the Dask cluster does not answer, or lost all its workers
    ├── CapError               a CAP document would break the protocol, or cannot be signed
    └── DeliveryError          a message was not accepted by the mail server, webhook, folder or service

A message names the file, the value and the remedy: it is what the user sees, without a traceback.
"""


class LswarnError(Exception):
    """Base of all of them: the one `except` a caller needs."""


class SettingsError(LswarnError):
    """An environment setting is missing, unknown or makes no sense."""


class RegionError(LswarnError):
    """region.toml, or a file it names, cannot be used.

    Attributes:
        problems: one sentence for every fault found, so that a user can mend them all at once.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), self.problems


class RainError(LswarnError):
    """Rain could not be had."""


class NotYetPublished(RainError):
    """The product of that day is not out yet: waiting heals it."""


class SourceUnavailable(RainError):
    """The server or folder does not answer: trying again may heal it."""


class AccessDenied(RainError):
    """The server refused our credentials: only a person can heal it, so it is never retried."""


class CorruptGranule(RainError):
    """What came is not the file it claims to be; it was not archived."""


class IncompleteWindow(RainError):
    """Too few of the window's days are archived to say anything about the total."""


class StorageFull(LswarnError):
    """The disk, or a quota on it, is full; what was being written is gone, and what was there before is untouched."""


class GridMismatch(LswarnError):
    """Two grids that must agree do not, or do not overlap."""


class StackNotBuilt(LswarnError):
    """The factor stack is missing, or older than region.toml or the files it names."""


class ModelError(LswarnError):
    """Something is wrong with a model."""


class CheckpointMismatch(ModelError):
    """A checkpoint made for other factors, or a file that is no checkpoint."""


class NoModel(ModelError):
    """No champion has been promoted for the region yet."""


class NotPrimed(ModelError):
    """The critical layers are missing, of another model or other factors, or no longer what priming wrote."""


class NotEnoughMemory(ModelError):
    """The memory of the machine or its GPU does not suffice; less at once may."""


class TrainingError(ModelError):
    """There is nothing to learn from, or the loss is no longer a number."""


class DatabaseError(LswarnError):
    """The database refused."""


class DatabaseDown(DatabaseError):
    """There is no connection to the database."""


class NotMigrated(DatabaseError):
    """The schema is missing, or older than this software."""


class ClusterDown(LswarnError):
    """The Dask cluster does not answer, has no workers left, or has workers that are not ours."""


class CapError(LswarnError):
    """A CAP document would break the protocol, or cannot be signed: it is not let out."""


class DeliveryError(LswarnError):
    """A message was not accepted.

    Attributes:
        permanent: True where trying again cannot help (a malformed address, 410 Gone).
        lane_down: not this recipient alone is refused: the relay or host took nothing, and would take no other either.
        retry_after_s: silence the other side asked for, s; None where it asked for none.
    """

    def __init__(
        self, message: str, *, permanent: bool = False, lane_down: bool = False, retry_after_s: float | None = None
    ) -> None:
        self.permanent = permanent
        self.lane_down = lane_down
        self.retry_after_s = retry_after_s
        super().__init__(message)
