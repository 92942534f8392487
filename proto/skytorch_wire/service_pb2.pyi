from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Compression(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPRESSION_NONE: _ClassVar[Compression]
    COMPRESSION_ZSTD: _ClassVar[Compression]
COMPRESSION_NONE: Compression
COMPRESSION_ZSTD: Compression

class Capabilities(_message.Message):
    __slots__ = ("protocol_version", "package_version", "torch_version", "compressions", "features", "max_message_bytes", "chunk_bytes", "max_frame_records", "python_version", "max_pending_records", "max_pending_bytes")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TORCH_VERSION_FIELD_NUMBER: _ClassVar[int]
    COMPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAME_RECORDS_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    MAX_PENDING_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_PENDING_BYTES_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    package_version: str
    torch_version: str
    compressions: _containers.RepeatedScalarFieldContainer[Compression]
    features: _containers.RepeatedScalarFieldContainer[str]
    max_message_bytes: int
    chunk_bytes: int
    max_frame_records: int
    python_version: str
    max_pending_records: int
    max_pending_bytes: int
    def __init__(self, protocol_version: _Optional[int] = ..., package_version: _Optional[str] = ..., torch_version: _Optional[str] = ..., compressions: _Optional[_Iterable[_Union[Compression, str]]] = ..., features: _Optional[_Iterable[str]] = ..., max_message_bytes: _Optional[int] = ..., chunk_bytes: _Optional[int] = ..., max_frame_records: _Optional[int] = ..., python_version: _Optional[str] = ..., max_pending_records: _Optional[int] = ..., max_pending_bytes: _Optional[int] = ...) -> None: ...

class Attach(_message.Message):
    __slots__ = ("session_id", "attach_secret", "epoch", "boot_id", "replies_received", "capabilities", "begin")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACH_SECRET_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    REPLIES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    attach_secret: bytes
    epoch: int
    boot_id: str
    replies_received: int
    capabilities: Capabilities
    begin: bool
    def __init__(self, session_id: _Optional[str] = ..., attach_secret: _Optional[bytes] = ..., epoch: _Optional[int] = ..., boot_id: _Optional[str] = ..., replies_received: _Optional[int] = ..., capabilities: _Optional[_Union[Capabilities, _Mapping]] = ..., begin: _Optional[bool] = ...) -> None: ...

class Attached(_message.Message):
    __slots__ = ("epoch", "boot_id", "executed", "capabilities", "compression", "received")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTED_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    boot_id: str
    executed: int
    capabilities: Capabilities
    compression: Compression
    received: int
    def __init__(self, epoch: _Optional[int] = ..., boot_id: _Optional[str] = ..., executed: _Optional[int] = ..., capabilities: _Optional[_Union[Capabilities, _Mapping]] = ..., compression: _Optional[_Union[Compression, str]] = ..., received: _Optional[int] = ...) -> None: ...

class StreamRequest(_message.Message):
    __slots__ = ("attach", "first_sequence", "replies_received", "epoch", "records", "compressed")
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLIES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    COMPRESSED_FIELD_NUMBER: _ClassVar[int]
    attach: Attach
    first_sequence: int
    replies_received: int
    epoch: int
    records: bytes
    compressed: bytes
    def __init__(self, attach: _Optional[_Union[Attach, _Mapping]] = ..., first_sequence: _Optional[int] = ..., replies_received: _Optional[int] = ..., epoch: _Optional[int] = ..., records: _Optional[bytes] = ..., compressed: _Optional[bytes] = ...) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("attached", "executed", "busy_nanoseconds", "epoch", "replies", "number", "ended")
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    EXECUTED_FIELD_NUMBER: _ClassVar[int]
    BUSY_NANOSECONDS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    attached: Attached
    executed: int
    busy_nanoseconds: int
    epoch: int
    replies: bytes
    number: int
    ended: Ended
    def __init__(self, attached: _Optional[_Union[Attached, _Mapping]] = ..., executed: _Optional[int] = ..., busy_nanoseconds: _Optional[int] = ..., epoch: _Optional[int] = ..., replies: _Optional[bytes] = ..., number: _Optional[int] = ..., ended: _Optional[_Union[Ended, _Mapping]] = ...) -> None: ...

class Ended(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class CopyDestination(_message.Message):
    __slots__ = ("socket", "host", "port", "intake", "encrypted", "ca", "certified")
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    INTAKE_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_FIELD_NUMBER: _ClassVar[int]
    CA_FIELD_NUMBER: _ClassVar[int]
    CERTIFIED_FIELD_NUMBER: _ClassVar[int]
    socket: str
    host: str
    port: int
    intake: str
    encrypted: bool
    ca: str
    certified: str
    def __init__(self, socket: _Optional[str] = ..., host: _Optional[str] = ..., port: _Optional[int] = ..., intake: _Optional[str] = ..., encrypted: _Optional[bool] = ..., ca: _Optional[str] = ..., certified: _Optional[str] = ...) -> None: ...

class Copy(_message.Message):
    __slots__ = ("ticket", "secret", "bytes")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    ticket: int
    secret: bytes
    bytes: int
    def __init__(self, ticket: _Optional[int] = ..., secret: _Optional[bytes] = ..., bytes: _Optional[int] = ...) -> None: ...

class CopyAnswer(_message.Message):
    __slots__ = ("refusal",)
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    refusal: str
    def __init__(self, refusal: _Optional[str] = ...) -> None: ...

class TensorRef(_message.Message):
    __slots__ = ("storage_id", "dtype", "sizes", "strides", "offset")
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    STRIDES_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    storage_id: int
    dtype: str
    sizes: _containers.RepeatedScalarFieldContainer[int]
    strides: _containers.RepeatedScalarFieldContainer[int]
    offset: int
    def __init__(self, storage_id: _Optional[int] = ..., dtype: _Optional[str] = ..., sizes: _Optional[_Iterable[int]] = ..., strides: _Optional[_Iterable[int]] = ..., offset: _Optional[int] = ...) -> None: ...

class UpdateTensorRequest(_message.Message):
    __slots__ = ("session_id", "tensor", "byte_offset", "data", "device", "after_sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    BYTE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    tensor: TensorRef
    byte_offset: int
    data: bytes
    device: str
    after_sequence: int
    def __init__(self, session_id: _Optional[str] = ..., tensor: _Optional[_Union[TensorRef, _Mapping]] = ..., byte_offset: _Optional[int] = ..., data: _Optional[bytes] = ..., device: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class UpdateTensorResponse(_message.Message):
    __slots__ = ("bytes_written",)
    BYTES_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    bytes_written: int
    def __init__(self, bytes_written: _Optional[int] = ...) -> None: ...

class GetTensorRequest(_message.Message):
    __slots__ = ("session_id", "tensor", "after_sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    tensor: TensorRef
    after_sequence: int
    def __init__(self, session_id: _Optional[str] = ..., tensor: _Optional[_Union[TensorRef, _Mapping]] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class GetTensorResponse(_message.Message):
    __slots__ = ("byte_offset", "total_bytes", "data")
    BYTE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    byte_offset: int
    total_bytes: int
    data: bytes
    def __init__(self, byte_offset: _Optional[int] = ..., total_bytes: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class CopyTensorRequest(_message.Message):
    __slots__ = ("session_id", "source", "destination", "after_sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    source: TensorRef
    destination: TensorRef
    after_sequence: int
    def __init__(self, session_id: _Optional[str] = ..., source: _Optional[_Union[TensorRef, _Mapping]] = ..., destination: _Optional[_Union[TensorRef, _Mapping]] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class CopyTensorResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeleteTensorsRequest(_message.Message):
    __slots__ = ("session_id", "storage_ids", "after_sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STORAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    storage_ids: _containers.RepeatedScalarFieldContainer[int]
    after_sequence: int
    def __init__(self, session_id: _Optional[str] = ..., storage_ids: _Optional[_Iterable[int]] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class DeleteTensorsResponse(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    def __init__(self, deleted: _Optional[int] = ...) -> None: ...

class TensorList(_message.Message):
    __slots__ = ("tensors",)
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    tensors: _containers.RepeatedCompositeFieldContainer[TensorRef]
    def __init__(self, tensors: _Optional[_Iterable[_Union[TensorRef, _Mapping]]] = ...) -> None: ...

class IntList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class FloatList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class BoolList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, values: _Optional[_Iterable[bool]] = ...) -> None: ...

class Argument(_message.Message):
    __slots__ = ("none", "tensor", "tensors", "boolean", "integer", "real", "integers", "reals", "booleans", "text", "dtype", "device")
    NONE_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    BOOLEAN_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    REAL_FIELD_NUMBER: _ClassVar[int]
    INTEGERS_FIELD_NUMBER: _ClassVar[int]
    REALS_FIELD_NUMBER: _ClassVar[int]
    BOOLEANS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    none: bool
    tensor: TensorRef
    tensors: TensorList
    boolean: bool
    integer: int
    real: float
    integers: IntList
    reals: FloatList
    booleans: BoolList
    text: str
    dtype: str
    device: str
    def __init__(self, none: _Optional[bool] = ..., tensor: _Optional[_Union[TensorRef, _Mapping]] = ..., tensors: _Optional[_Union[TensorList, _Mapping]] = ..., boolean: _Optional[bool] = ..., integer: _Optional[int] = ..., real: _Optional[float] = ..., integers: _Optional[_Union[IntList, _Mapping]] = ..., reals: _Optional[_Union[FloatList, _Mapping]] = ..., booleans: _Optional[_Union[BoolList, _Mapping]] = ..., text: _Optional[str] = ..., dtype: _Optional[str] = ..., device: _Optional[str] = ...) -> None: ...

class ExecuteAtenOperationRequest(_message.Message):
    __slots__ = ("session_id", "operation", "arguments", "outputs", "after_sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    operation: str
    arguments: _containers.RepeatedCompositeFieldContainer[Argument]
    outputs: _containers.RepeatedScalarFieldContainer[int]
    after_sequence: int
    def __init__(self, session_id: _Optional[str] = ..., operation: _Optional[str] = ..., arguments: _Optional[_Iterable[_Union[Argument, _Mapping]]] = ..., outputs: _Optional[_Iterable[int]] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class ExecuteAtenOperationResponse(_message.Message):
    __slots__ = ("outputs",)
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedCompositeFieldContainer[TensorRef]
    def __init__(self, outputs: _Optional[_Iterable[_Union[TensorRef, _Mapping]]] = ...) -> None: ...
