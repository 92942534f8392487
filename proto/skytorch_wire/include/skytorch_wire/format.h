// The record format: what the bytes of StreamRequest.records and StreamResponse.replies mean.
//
// A frame is a run of records, and a record is a tag and its fields. Numbers are LEB128 varints (zigzag where they may
// be negative), floating point is little-endian IEEE 754, text and data are a length and bytes. The record's sequence
// number isn't in it: it is the frame's first_sequence plus the record's place. docs/protocol.md tells the story.
// Nothing here depends on torch, so that it can be fuzzed and read alone.
#pragma once

#include <cstdint>
#include <string_view>

namespace skytorch::wire {

enum class Record : uint8_t {
  kDefineOp = 1,      // index, name, schema hash (8 bytes)
  kDefineDevice = 2,  // slot, type name, device index
  kMark = 3,          // line (zigzag), cell (zigzag): the place in the program that the following records come from
  kOp = 4,            // op index (0: name follows), count, values, count, outputs
  kAsk = 5,           // as kOp; the reply tells what the op returned
  kAllocate = 6,      // storage, slot, bytes, layout
  kFree = 7,          // storage
  kWrite = 8,         // storage, byte offset, data
  kResize = 9,        // storage, bytes
  kRead = 10,         // value (a tensor); replied in chunks, contiguous
  kSync = 11,         // replied when everything before it is executed
  kSeed = 12,         // generator, slot, seed
  kGetState = 13,     // generator, slot; the reply is data
  kSetState = 14,     // generator, slot, data
  kFreeGenerator = 15,  // generator
  kEnsure = 16,       // as kAllocate, unless the storage exists
  kSetting = 17,      // name, count, values: what the setter of a torch setting was called with
  kMemory = 18,       // slot, what is asked of the device's memory
  kShare = 19,        // replied: memory that a client on the same machine may map (segment.h); the session has one at most
  kMapped = 20,       // segment, 1 or 0: the client has mapped it, or can't
  kWriteShared = 21,  // segment, storage, byte offset, place in the lane, size: the data comes through the segment
  kReadShared = 22,   // as kRead; the reply may come through the segment
  kOffer = 23,        // storage, byte offset, size, storage, byte offset, BLAKE2b (32 bytes): if the second holds such data, it is
                      // copied to the first; replied whether it was
  kDefineGraph = 25,  // graph, a definition as data (docs/protocol.md)
  kRunGraph = 26,     // as kOp, with a graph for the op: its tensors, then its numbers
  kFreeGraph = 27,    // graph
  kClock = 30,        // replied as kValues: the server's steady clock, ns
  kProfile = 31,      // events: time what follows, and keep so many of the single times; 0: no longer
  kProfiled = 32,     // replied as data: what was timed since, see profile.cpp
  kAdopt = 40,        // parcel, slot, storage, layout: what the parcel's slot holds gets this number and this home
  kDropParcel = 41,   // parcel: what is left of it is let go of
  kFunction = 42,     // slot, count, storages, bytes of the call: runs the function whose call came in parts; replied as data, after
                      // what it writes (kOutput), and leaves a parcel
  kFunctionPart = 43,  // byte offset, data: a part of the next function's call; offset 0 begins another one
  kSave = 45,         // name, pickle, count, tensors: keeps their storages under the name; replied as data: the storages' keys
  kLoad = 46,         // name; replied as data: the pickle, and the storages, which are in its parcel (objects.cpp)
  kForget = 48,       // name; replied as data: whether there was such an object
  kObjects = 49,      // replied as data: the objects that have names, and their sizes
  kExpect = 50,       // ticket, slot, bytes, seconds, secret (32 bytes): memory for what another server sends by this ticket, for so long
  kSend = 51,         // ticket, secret (32 bytes), destination (a CopyDestination), value (a tensor): sends it, contiguous, to the
                      // session that expects it; replied as data: an outcome, and why
  kReceive = 52,      // ticket: leaves a parcel with what came by it
  kWithdraw = 53,     // ticket: nothing is expected any more
};

enum class Value : uint8_t {
  kNone = 0,
  kTensorHome = 1,  // storage: the view that it was allocated as
  kTensorView = 2,  // storage, layout
  kTensorNew = 3,   // storage, slot, bytes, layout: allocated by being named
  kFalse = 4,
  kTrue = 5,
  kInt = 6,          // zigzag
  kDouble = 7,       // 8 bytes
  kIntList = 8,      // count, zigzags
  kTensorList = 9,   // count, values
  kOptionalTensorList = 10,
  kBoolList = 11,    // count, bytes
  kDoubleList = 12,  // count, 8 bytes each
  kDevice = 13,      // slot
  kHostTensor = 14,  // layout byte pair, wrapped flag, sizes, data: a CPU tensor given by value
  kString = 15,
  kScalarList = 16,  // count, values
  kComplex = 17,     // 16 bytes
  kGenerator = 18,   // generator, slot; 0 is the device's default
  // In a graph's definition only:
  kGraphTensor = 24,   // an input of the graph, or what one of its ops returned before
  kGraphNumber = 25,   // a number that is given at each run
  kGraphIntList = 26,  // count, values (kInt, kGraphNumber)
};

// What kMemory asks. Those that are replied are replied as kValues, integers.
enum class Memory : uint8_t {
  kStats = 0,             // replied: the allocator's numbers, in the order of stats.h
  kInfo = 1,              // replied: bytes that are free, and bytes in all
  kResetPeak = 2,
  kResetAccumulated = 3,
  kEmptyCache = 4,
};

// How a graph is run, the first byte of its definition.
enum class Runner : uint8_t {
  kLoop = 0,      // op by op
  kInductor = 1,  // by torch's compiler, where and as soon as it can be
};

enum class Output : uint8_t {
  kSkip = 0,    // returned under a name that the client has already, or undefined
  kTensor = 1,  // storage, layout: what the client told its user
  kList = 2,    // count, outputs
  kAsked = 3,   // storage; layout unknown to the client (kAsk only)
};

enum class Reply : uint8_t {
  kData = 1,   // sequence, byte offset, total bytes, data
  kValues = 2, // sequence, count, values (tensors as kTensorView with the storage's size in bytes after it)
  kDone = 3,   // sequence
  kError = 4,  // sequence that it answers (0: none), sequence where it happened, kind, op, line, cell, message
  kDataShared = 5,  // sequence, byte offset, total bytes, place in the lane, size: the data comes through the segment
  kSegment = 6,  // sequence, segment (0: none can be had), process, descriptor, bytes of a slot, slots of a lane, token
  kOutput = 9,   // sequence, 1 (stdout) or 2 (stderr), data: what a function has written since
};

// What became of kSend, the first byte of its reply; the rest says why.
enum class Sent : uint8_t {
  kArrived = 0,
  kNoWay = 1,   // this server can't reach the other one, or may not
  kBroken = 2,  // it could, and this copy came to nothing
};

enum class ErrorKind : uint8_t {
  kRuntime = 0,
  kIndex = 1,
  kValue = 2,
  kType = 3,
  kNotImplemented = 4,
  kOutOfMemory = 5,
  kLinAlg = 6,
  kCancelled = 7,
};

// Limits that the decoder enforces, so that no length from the wire turns into an allocation by itself.
constexpr uint64_t kMaxDims = 63;
constexpr uint64_t kMaxListItems = 1u << 20;
constexpr uint64_t kMaxNameBytes = 1u << 10;
constexpr uint64_t kMaxTextBytes = 1u << 16;
constexpr uint64_t kMaxOpIndex = 1u << 14;
constexpr uint64_t kMaxHostTensorBytes = 1u << 20;
constexpr uint64_t kMaxSettingValues = 8;
constexpr uint64_t kMaxGraphs = 1u << 12;
constexpr uint64_t kMaxGraphBytes = 4u << 20;
constexpr uint64_t kMaxGraphValues = 1u << 16;
constexpr uint64_t kMaxProfileEvents = 1u << 20;
constexpr uint64_t kMaxGeneratorStateBytes = 1u << 16;
constexpr uint64_t kMaxObjects = 1u << 10;
constexpr uint64_t kMaxObjectNameBytes = 1u << 8;
constexpr uint64_t kMaxPickleBytes = 16u << 20;
constexpr uint64_t kMaxPicklesBytes = 256u << 20;  // of a session's objects together
constexpr uint64_t kMaxParcels = 1u << 8;
constexpr uint64_t kMaxTickets = 1u << 8;  // that a session has open
constexpr uint64_t kMaxTicketSeconds = 120;
constexpr size_t kTicketSecretBytes = 32;
constexpr uint64_t kMaxDestinationBytes = 1u << 16;
constexpr uint8_t kMaxDtype = 63;

// A layout's second byte.
// The first byte of a layout is a dtype and, for views whose values are to be read so, these.
constexpr uint8_t kLayoutConjugate = 0x40;
constexpr uint8_t kLayoutNegative = 0x80;
// The second is a number of dimensions and these.
constexpr uint8_t kLayoutDims = 0x3f;
constexpr uint8_t kLayoutStrided = 0x40;  // strides follow; else contiguous
constexpr uint8_t kLayoutOffset = 0x80;   // an offset follows

// Of an op's schema, so that two torch versions that disagree about it notice (FNV-1a, 64 bits).
constexpr uint64_t schema_hash(std::string_view schema) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (char c : schema) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  return hash;
}

}  // namespace skytorch::wire
