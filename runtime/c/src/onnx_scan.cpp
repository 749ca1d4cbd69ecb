#include "onnx_scan.h"

#include <vector>

#include "error.h"

// ONNX is Protocol Buffers: a message is a run of fields, each a number, a wire type and a value, and a value that is
// a message again has its length in front. Field numbers are those of onnx.proto.

namespace cfack {
namespace {

constexpr int kMostFields = 100000;
constexpr size_t kMostNested = 32;
constexpr uint64_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;
constexpr uint64_t kExternalData = 13, kDataLocation = 14;

enum class Message { kModel, kTraining, kFunction, kGraph, kNode, kAttribute, kSparse, kTensor, kOther };

// The message behind a field, where a tensor can be reached through it.
Message child(Message parent, uint64_t field) {
  switch (parent) {
    case Message::kModel:
      return field == 7    ? Message::kGraph
             : field == 20 ? Message::kTraining
             : field == 25 ? Message::kFunction
                           : Message::kOther;
    case Message::kTraining: return field == 1 || field == 2 ? Message::kGraph : Message::kOther;
    case Message::kFunction:
      return field == 7 ? Message::kNode : field == 11 ? Message::kAttribute : Message::kOther;
    case Message::kGraph:
      return field == 1    ? Message::kNode
             : field == 5  ? Message::kTensor
             : field == 15 ? Message::kSparse
                           : Message::kOther;
    case Message::kNode: return field == 5 ? Message::kAttribute : Message::kOther;
    case Message::kAttribute:
      if (field == 5 || field == 10) return Message::kTensor;
      if (field == 6 || field == 11) return Message::kGraph;
      return field == 22 || field == 23 ? Message::kSparse : Message::kOther;
    case Message::kSparse: return field == 1 || field == 2 ? Message::kTensor : Message::kOther;
    default: return Message::kOther;
  }
}

class Walk {
 public:
  Walk(const uint8_t* data, uint64_t size, const std::string& source) : data_(data), size_(size), source_(source) {}

  void run() {
    struct Open {
      Message message;
      uint64_t end;
    };
    std::vector<Open> open{{Message::kModel, size_}};
    uint64_t position = 0;
    for (int count = 0; !open.empty();) {
      const Open top = open.back();
      if (position == top.end) {
        open.pop_back();
        continue;
      }
      if (++count > kMostFields) malformed(position, "more than 100000 fields");
      const uint64_t start = position, key = varint(&position, top.end);
      const uint64_t number = key >> 3, wire = key & 7;
      uint64_t value = position, after = position;
      if (wire == kVarint) {
        value = varint(&after, top.end);
      } else if (wire == kBytes) {
        const uint64_t length = varint(&after, top.end);
        value = after;
        if (length > top.end - after) malformed(start, "a field that reaches beyond its message");
        after += length;
      } else if (wire == kFixed32 || wire == kFixed64) {
        after += wire == kFixed32 ? 4 : 8;
      } else {
        malformed(start, "wire type " + std::to_string(wire));
      }
      if (number == 0 || after > top.end) malformed(start, "a field that reaches beyond its message");
      const bool external = number == kExternalData || (number == kDataLocation && value != 0);
      if (top.message == Message::kTensor && external) {
        throw Error(CFACK_ERROR_BUNDLE,
                    source_ + ": a tensor's values are said to lie in another file (external data); a graph of a "
                              "bundle holds all of its weights, so this one is not loaded; export again");
      }
      const Message inner = child(top.message, number);
      if (inner != Message::kOther && wire == kBytes) {
        if (open.size() == kMostNested) malformed(start, "more than 32 messages inside one another");
        open.push_back({inner, after});
        position = value;
      } else {
        position = after;
      }
    }
  }

 private:
  uint64_t varint(uint64_t* position, uint64_t end) const {
    uint64_t value = 0;
    for (int place = 0; place < 10; ++place) {
      if (*position >= end) break;
      const uint64_t byte = data_[(*position)++];
      value |= (byte & 0x7f) << (7 * place);
      if (byte < 0x80) return value;
    }
    malformed(*position, "a number that does not end");
  }

  [[noreturn]] void malformed(uint64_t position, const std::string& what) const {
    throw Error(CFACK_ERROR_BUNDLE, source_ + ": no valid ONNX file: " + what + " at byte " +
                                        std::to_string(position) + "; it is not loaded, export again");
  }

  const uint8_t* data_;
  uint64_t size_;
  const std::string& source_;
};

}  // namespace

void require_self_contained(const uint8_t* data, uint64_t size, const std::string& source) {
  Walk(data, size, source).run();
}

}  // namespace cfack
