"""The numbers of the record format, as ``include/skytorch_wire/format.h`` has them."""

from __future__ import annotations

from enum import IntEnum

#: dtype names by their number on the wire, which is c10::ScalarType's.
DTYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64",
    8: "complex32", 9: "complex64", 10: "complex128", 11: "bool", 15: "bfloat16", 23: "float8_e5m2",
    24: "float8_e4m3fn",
    27: "uint16", 28: "uint32", 29: "uint64",
}  # fmt: skip
DTYPE_NUMBERS = {name: number for number, name in DTYPES.items()}
ITEM_BYTES = {
    "uint8": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "float16": 2, "float32": 4, "float64": 8, "complex32": 4,
    "complex64": 8, "complex128": 16, "bool": 1, "bfloat16": 2, "float8_e5m2": 1, "float8_e4m3fn": 1, "uint16": 2,
    "uint32": 4, "uint64": 8,
}  # fmt: skip


class Record(IntEnum):
    """What a record is."""

    DEFINE_OP = 1
    DEFINE_DEVICE = 2
    MARK = 3
    OP = 4
    ASK = 5
    ALLOCATE = 6
    FREE = 7
    WRITE = 8
    RESIZE = 9
    READ = 10
    SYNC = 11
    SEED = 12
    GET_STATE = 13
    SET_STATE = 14
    FREE_GENERATOR = 15
    ENSURE = 16
    SETTING = 17
    MEMORY = 18
    SHARE = 19
    MAPPED = 20
    WRITE_SHARED = 21
    READ_SHARED = 22
    OFFER = 23
    DEFINE_GRAPH = 25
    RUN_GRAPH = 26
    FREE_GRAPH = 27
    CLOCK = 30
    PROFILE = 31
    PROFILED = 32
    ADOPT = 40
    DROP_PARCEL = 41
    FUNCTION = 42
    FUNCTION_PART = 43
    SAVE = 45
    LOAD = 46
    FORGET = 48
    OBJECTS = 49
    EXPECT = 50
    SEND = 51
    RECEIVE = 52
    WITHDRAW = 53


class Value(IntEnum):
    """What an argument of an op is."""

    NONE = 0
    TENSOR_HOME = 1
    TENSOR_VIEW = 2
    TENSOR_NEW = 3
    FALSE = 4
    TRUE = 5
    INT = 6
    DOUBLE = 7
    INT_LIST = 8
    TENSOR_LIST = 9
    OPTIONAL_TENSOR_LIST = 10
    BOOL_LIST = 11
    DOUBLE_LIST = 12
    DEVICE = 13
    HOST_TENSOR = 14
    STRING = 15
    SCALAR_LIST = 16
    COMPLEX = 17
    GENERATOR = 18
    GRAPH_TENSOR = 24
    GRAPH_NUMBER = 25
    GRAPH_INT_LIST = 26


class Memory(IntEnum):
    """What is asked of a device's memory."""

    STATS = 0
    INFO = 1
    RESET_PEAK = 2
    RESET_ACCUMULATED = 3
    EMPTY_CACHE = 4


class Output(IntEnum):
    """Where a result of an op goes."""

    SKIP = 0
    TENSOR = 1
    LIST = 2
    ASKED = 3


class Reply(IntEnum):
    """What a reply is."""

    DATA = 1
    VALUES = 2
    DONE = 3
    ERROR = 4
    DATA_SHARED = 5
    SEGMENT = 6
    OUTPUT = 9


class Sent(IntEnum):
    """What became of a copy to another server."""

    ARRIVED = 0
    NO_WAY = 1
    BROKEN = 2


class ErrorKind(IntEnum):
    """The type that PyTorch gives an error."""

    RUNTIME = 0
    INDEX = 1
    VALUE = 2
    TYPE = 3
    NOT_IMPLEMENTED = 4
    OUT_OF_MEMORY = 5
    LINALG = 6
    CANCELLED = 7
