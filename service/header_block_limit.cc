#include "service/header_block_limit.h"

#include <dlfcn.h>
#include <grpc/slice.h>

#include <atomic>
#include <mutex>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

struct grpc_metadata_batch;

namespace hocket {
namespace {

// Header blocks that go on in further frames, by their connection's parser. Others are one frame,
// whose length HTTP/2 bounds to 16 KiB.
class OpenBlocks {
 public:
  // A frame of the parser's begins; `ends`: it is its block's last.
  void BeginFrame(const void* parser, bool ends) {
    if (ends && open_ == 0) return;
    std::lock_guard lock(mutex_);
    const auto found = blocks_.find(parser);
    if (ends && found == blocks_.end()) return;
    Block& block = found == blocks_.end() ? blocks_[parser] : found->second;
    if (block.ended) block = {};
    block.ended = ends;
    ++block.frames;
    open_ = static_cast<int64_t>(blocks_.size());
  }

  // Whether the block is still within its limits with so many more bytes.
  bool Add(const void* parser, size_t bytes) {
    if (open_ == 0) return true;
    std::lock_guard lock(mutex_);
    const auto found = blocks_.find(parser);
    if (found == blocks_.end()) return true;
    Block& block = found->second;
    block.bytes += bytes;
    if (block.bytes <= kMaxHeaderBlockBytes && block.frames <= kMaxHeaderBlockFrames) return true;
    refused_ += block.refused ? 0 : 1;
    block.refused = true;
    return false;
  }

  void Forget(const void* parser) {
    if (open_ == 0) return;
    std::lock_guard lock(mutex_);
    blocks_.erase(parser);
    open_ = static_cast<int64_t>(blocks_.size());
  }

  int64_t refused() const { return refused_; }

 private:
  struct Block {
    size_t bytes = 0;
    uint32_t frames = 0;
    bool ended = false;  // With the frame that is being read.
    bool refused = false;
  };

  std::atomic<int64_t> open_ = 0;  // How many blocks_ has.
  std::atomic<int64_t> refused_ = 0;
  std::mutex mutex_;
  std::unordered_map<const void*, Block> blocks_;  // Guarded by mutex_.
};

// gRPC's threads may outlive main.
OpenBlocks& Blocks() {
  static auto* const blocks = new OpenBlocks();
  return *blocks;
}

// The function that is called so where this program has none of the name.
template <typename Function>
Function* Next(const char* symbol) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, symbol));
}

}  // namespace

int64_t HeaderBlocksRefused() { return Blocks().refused(); }

}  // namespace hocket

// What follows has the names and the calling conventions of gRPC 1.51.
namespace grpc_core {

class HPackParser {
 public:
  enum class Boundary : uint8_t { kNone, kEndOfHeaders, kEndOfStream };
  enum class Priority : uint8_t { kNone, kIncluded };
  struct LogInfo {
    uint32_t stream_id;
    uint8_t type;
    bool is_client;
  };

  void BeginFrame(grpc_metadata_batch* metadata, uint32_t size_limit, Boundary boundary,
                  Priority priority, LogInfo log_info);
  absl::Status Parse(const grpc_slice& slice, bool is_last);
  ~HPackParser();
};

void HPackParser::BeginFrame(grpc_metadata_batch* metadata, uint32_t size_limit, Boundary boundary,
                             Priority priority, LogInfo log_info) {
  using Original = void(HPackParser*, grpc_metadata_batch*, uint32_t, Boundary, Priority, LogInfo);
  static Original* const original = hocket::Next<Original>(
      "_ZN9grpc_core11HPackParser10BeginFrameEP19grpc_metadata_batchjNS0_8BoundaryENS0_"
      "8PriorityENS0_"
      "7LogInfoE");
  hocket::Blocks().BeginFrame(this, boundary != Boundary::kNone);
  original(this, metadata, size_limit, boundary, priority, log_info);
}

absl::Status HPackParser::Parse(const grpc_slice& slice, bool is_last) {
  using Original = absl::Status(HPackParser*, const grpc_slice&, bool);
  static Original* const original =
      hocket::Next<Original>("_ZN9grpc_core11HPackParser5ParseERK10grpc_sliceb");
  if (!hocket::Blocks().Add(this, GRPC_SLICE_LENGTH(slice))) {
    return absl::ResourceExhaustedError(absl::StrCat("headers of more than ",
                                                     hocket::kMaxHeaderBlockBytes, " bytes or ",
                                                     hocket::kMaxHeaderBlockFrames, " frames"));
  }
  return original(this, slice, is_last);
}

HPackParser::~HPackParser() {
  using Original = void(HPackParser*);
  static Original* const original = hocket::Next<Original>("_ZN9grpc_core11HPackParserD1Ev");
  hocket::Blocks().Forget(this);
  original(this);
}

}  // namespace grpc_core
