import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from skytorch_wire import service_pb2 as _service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATE_UNSPECIFIED: _ClassVar[SessionState]
    SESSION_STATE_ACTIVE: _ClassVar[SessionState]
    SESSION_STATE_CLOSED: _ClassVar[SessionState]
    SESSION_STATE_EXPIRED: _ClassVar[SessionState]
    SESSION_STATE_CRASHED: _ClassVar[SessionState]
SESSION_STATE_UNSPECIFIED: SessionState
SESSION_STATE_ACTIVE: SessionState
SESSION_STATE_CLOSED: SessionState
SESSION_STATE_EXPIRED: SessionState
SESSION_STATE_CRASHED: SessionState

class Session(_message.Message):
    __slots__ = ("session_id", "name", "principal", "state", "reason", "created", "last_heartbeat", "lease_seconds", "labels", "pid", "stats", "max_age_seconds", "expiry", "memory_bytes")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    LAST_HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    name: str
    principal: str
    state: SessionState
    reason: str
    created: _timestamp_pb2.Timestamp
    last_heartbeat: _timestamp_pb2.Timestamp
    lease_seconds: float
    labels: _containers.ScalarMap[str, str]
    pid: int
    stats: SessionStats
    max_age_seconds: float
    expiry: Expiry
    memory_bytes: int
    def __init__(self, session_id: _Optional[str] = ..., name: _Optional[str] = ..., principal: _Optional[str] = ..., state: _Optional[_Union[SessionState, str]] = ..., reason: _Optional[str] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_heartbeat: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lease_seconds: _Optional[float] = ..., labels: _Optional[_Mapping[str, str]] = ..., pid: _Optional[int] = ..., stats: _Optional[_Union[SessionStats, _Mapping]] = ..., max_age_seconds: _Optional[float] = ..., expiry: _Optional[_Union[Expiry, _Mapping]] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class Expiry(_message.Message):
    __slots__ = ("seconds", "cause", "soon")
    class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CAUSE_UNSPECIFIED: _ClassVar[Expiry.Cause]
        IDLE: _ClassVar[Expiry.Cause]
        MAX_AGE: _ClassVar[Expiry.Cause]
        SERVER_STOPS: _ClassVar[Expiry.Cause]
    CAUSE_UNSPECIFIED: Expiry.Cause
    IDLE: Expiry.Cause
    MAX_AGE: Expiry.Cause
    SERVER_STOPS: Expiry.Cause
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    SOON_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    cause: Expiry.Cause
    soon: bool
    def __init__(self, seconds: _Optional[float] = ..., cause: _Optional[_Union[Expiry.Cause, str]] = ..., soon: _Optional[bool] = ...) -> None: ...

class SessionStats(_message.Message):
    __slots__ = ("operations", "bytes_received", "bytes_sent", "storages", "storage_bytes", "busy_nanoseconds", "executed", "resident_bytes", "queued_bytes")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    STORAGES_FIELD_NUMBER: _ClassVar[int]
    STORAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BUSY_NANOSECONDS_FIELD_NUMBER: _ClassVar[int]
    EXECUTED_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BYTES_FIELD_NUMBER: _ClassVar[int]
    operations: int
    bytes_received: int
    bytes_sent: int
    storages: int
    storage_bytes: int
    busy_nanoseconds: int
    executed: int
    resident_bytes: int
    queued_bytes: int
    def __init__(self, operations: _Optional[int] = ..., bytes_received: _Optional[int] = ..., bytes_sent: _Optional[int] = ..., storages: _Optional[int] = ..., storage_bytes: _Optional[int] = ..., busy_nanoseconds: _Optional[int] = ..., executed: _Optional[int] = ..., resident_bytes: _Optional[int] = ..., queued_bytes: _Optional[int] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("type", "index", "name", "memory_bytes")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    type: str
    index: int
    name: str
    memory_bytes: int
    def __init__(self, type: _Optional[str] = ..., index: _Optional[int] = ..., name: _Optional[str] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class Endpoint(_message.Message):
    __slots__ = ("address", "nonce_path", "nonce", "tunnel", "local_socket", "intake")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    NONCE_PATH_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_FIELD_NUMBER: _ClassVar[int]
    LOCAL_SOCKET_FIELD_NUMBER: _ClassVar[int]
    INTAKE_FIELD_NUMBER: _ClassVar[int]
    address: str
    nonce_path: str
    nonce: bytes
    tunnel: str
    local_socket: str
    intake: str
    def __init__(self, address: _Optional[str] = ..., nonce_path: _Optional[str] = ..., nonce: _Optional[bytes] = ..., tunnel: _Optional[str] = ..., local_socket: _Optional[str] = ..., intake: _Optional[str] = ...) -> None: ...

class CreateSessionRequest(_message.Message):
    __slots__ = ("name", "capabilities", "labels", "lease_seconds", "max_age_seconds", "memory_bytes")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    capabilities: _service_pb2.Capabilities
    labels: _containers.ScalarMap[str, str]
    lease_seconds: float
    max_age_seconds: float
    memory_bytes: int
    def __init__(self, name: _Optional[str] = ..., capabilities: _Optional[_Union[_service_pb2.Capabilities, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., lease_seconds: _Optional[float] = ..., max_age_seconds: _Optional[float] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class CreateSessionResponse(_message.Message):
    __slots__ = ("session", "attach_secret", "boot_id", "capabilities", "devices", "endpoints", "checkpoints")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ATTACH_SECRET_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    session: Session
    attach_secret: bytes
    boot_id: str
    capabilities: _service_pb2.Capabilities
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    endpoints: _containers.RepeatedCompositeFieldContainer[Endpoint]
    checkpoints: int
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ..., attach_secret: _Optional[bytes] = ..., boot_id: _Optional[str] = ..., capabilities: _Optional[_Union[_service_pb2.Capabilities, _Mapping]] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., endpoints: _Optional[_Iterable[_Union[Endpoint, _Mapping]]] = ..., checkpoints: _Optional[int] = ...) -> None: ...

class TakeOverRequest(_message.Message):
    __slots__ = ("session_id", "capabilities", "name", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    capabilities: _service_pb2.Capabilities
    name: str
    labels: _containers.ScalarMap[str, str]
    def __init__(self, session_id: _Optional[str] = ..., capabilities: _Optional[_Union[_service_pb2.Capabilities, _Mapping]] = ..., name: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("include_ended",)
    INCLUDE_ENDED_FIELD_NUMBER: _ClassVar[int]
    include_ended: bool
    def __init__(self, include_ended: _Optional[bool] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "boot_id")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    boot_id: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ..., boot_id: _Optional[str] = ...) -> None: ...

class KeepAliveRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class KeepAliveResponse(_message.Message):
    __slots__ = ("lease_seconds", "expiry")
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    lease_seconds: float
    expiry: Expiry
    def __init__(self, lease_seconds: _Optional[float] = ..., expiry: _Optional[_Union[Expiry, _Mapping]] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("session_id", "from_sequence", "through_sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    THROUGH_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    from_sequence: int
    through_sequence: int
    def __init__(self, session_id: _Optional[str] = ..., from_sequence: _Optional[int] = ..., through_sequence: _Optional[int] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("session_id", "keep_named")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    KEEP_NAMED_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    keep_named: bool
    def __init__(self, session_id: _Optional[str] = ..., keep_named: _Optional[bool] = ...) -> None: ...

class CloseSessionResponse(_message.Message):
    __slots__ = ("kept",)
    KEPT_FIELD_NUMBER: _ClassVar[int]
    kept: bool
    def __init__(self, kept: _Optional[bool] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("name", "session_name", "created", "bytes", "objects")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SESSION_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    session_name: str
    created: _timestamp_pb2.Timestamp
    bytes: int
    objects: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., session_name: _Optional[str] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., bytes: _Optional[int] = ..., objects: _Optional[_Iterable[str]] = ...) -> None: ...

class WriteCheckpointRequest(_message.Message):
    __slots__ = ("session_id", "name", "objects", "max_bytes", "session_name")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    SESSION_NAME_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    name: str
    objects: _containers.RepeatedScalarFieldContainer[str]
    max_bytes: int
    session_name: str
    def __init__(self, session_id: _Optional[str] = ..., name: _Optional[str] = ..., objects: _Optional[_Iterable[str]] = ..., max_bytes: _Optional[int] = ..., session_name: _Optional[str] = ...) -> None: ...

class RestoreRequest(_message.Message):
    __slots__ = ("session_id", "name", "objects")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    name: str
    objects: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, session_id: _Optional[str] = ..., name: _Optional[str] = ..., objects: _Optional[_Iterable[str]] = ...) -> None: ...

class RestoreResponse(_message.Message):
    __slots__ = ("objects",)
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, objects: _Optional[_Iterable[str]] = ...) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("checkpoints",)
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[Checkpoint]
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[Checkpoint, _Mapping]]] = ...) -> None: ...

class DeleteCheckpointRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteCheckpointResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchSessionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SessionEvent(_message.Message):
    __slots__ = ("kind", "session")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[SessionEvent.Kind]
        CREATED: _ClassVar[SessionEvent.Kind]
        CHANGED: _ClassVar[SessionEvent.Kind]
        ENDED: _ClassVar[SessionEvent.Kind]
        EXPIRING: _ClassVar[SessionEvent.Kind]
    KIND_UNSPECIFIED: SessionEvent.Kind
    CREATED: SessionEvent.Kind
    CHANGED: SessionEvent.Kind
    ENDED: SessionEvent.Kind
    EXPIRING: SessionEvent.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    kind: SessionEvent.Kind
    session: Session
    def __init__(self, kind: _Optional[_Union[SessionEvent.Kind, str]] = ..., session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class ActivityRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ActivityResponse(_message.Message):
    __slots__ = ("last_activity", "sessions", "orphans")
    LAST_ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    ORPHANS_FIELD_NUMBER: _ClassVar[int]
    last_activity: _timestamp_pb2.Timestamp
    sessions: int
    orphans: int
    def __init__(self, last_activity: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sessions: _Optional[int] = ..., orphans: _Optional[int] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReplaceSecretRequest(_message.Message):
    __slots__ = ("attach_secret", "new_secret", "free_unnamed")
    ATTACH_SECRET_FIELD_NUMBER: _ClassVar[int]
    NEW_SECRET_FIELD_NUMBER: _ClassVar[int]
    FREE_UNNAMED_FIELD_NUMBER: _ClassVar[int]
    attach_secret: bytes
    new_secret: bytes
    free_unnamed: bool
    def __init__(self, attach_secret: _Optional[bytes] = ..., new_secret: _Optional[bytes] = ..., free_unnamed: _Optional[bool] = ...) -> None: ...

class ReplaceSecretResponse(_message.Message):
    __slots__ = ("named",)
    NAMED_FIELD_NUMBER: _ClassVar[int]
    named: int
    def __init__(self, named: _Optional[int] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
