#include "runtime/kernels/onednn_int8.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "dnnl.h"
#include "dnnl.hpp"

namespace hocket {
namespace {

constexpr int kTiles = static_cast<int>(std::size(OneDnnInt8::kRowTiles));

struct OneDnn {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};

OneDnn& Library() {
  static OneDnn library;
  return library;
}

// Memory objects hold the pointers of one call, so each caller needs its own. They are made when
// loading: a step allocates nothing.
struct CallMemory {
  std::atomic<bool> taken{false};
  struct Tile {
    dnnl::memory x, weights, sums, scratch;
  };
  std::array<Tile, kTiles> tiles;
};

class OneDnnInt8Impl : public OneDnnInt8 {
 public:
  explicit OneDnnInt8Impl(int64_t inputs) : inputs_(inputs) {}

  // Throws dnnl::error.
  void Build(int32_t callers) {
    using Tag = dnnl::memory::format_tag;
    using Type = dnnl::memory::data_type;
    const dnnl::engine& engine = Library().engine;
    calls_ = std::vector<CallMemory>(callers);
    for (int tile = 0; tile < kTiles; ++tile) {
      dnnl::primitive_attr attributes;
      attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
      const dnnl::matmul::primitive_desc description(
          engine, dnnl::memory::desc({kRowTiles[tile], inputs_}, Type::u8, Tag::ab),
          dnnl::memory::desc({inputs_, kOutputs}, Type::s8, Tag::BA16a32b4a),
          dnnl::memory::desc({kRowTiles[tile], kOutputs}, Type::s32, Tag::ab), attributes);
      if (tile == 0) implementation_ = description.impl_info_str();
      primitives_[tile] = dnnl::matmul(description);
      scratch_bytes_ = std::max<int64_t>(scratch_bytes_, description.scratchpad_desc().get_size());
      for (CallMemory& call : calls_) {
        call.tiles[tile] = {dnnl::memory(description.src_desc(), engine, nullptr),
                            dnnl::memory(description.weights_desc(), engine, nullptr),
                            dnnl::memory(description.dst_desc(), engine, nullptr),
                            dnnl::memory(description.scratchpad_desc(), engine, nullptr)};
      }
    }
  }

  std::string implementation() const override { return implementation_; }
  int64_t scratch_bytes() const override { return (scratch_bytes_ + 63) / 64 * 64; }

  Lease Take() const override {
    for (size_t i = 0; i < calls_.size(); ++i) {
      if (!calls_[i].taken.exchange(true, std::memory_order_acquire)) {
        return {this, static_cast<int32_t>(i)};
      }
    }
    return {};
  }

  absl::Status Multiply(const Lease& lease, const uint8_t* x, int64_t rows, const uint8_t* panels,
                        int32_t* sums, std::byte* scratch) const override {
    const auto* const found = std::find(std::begin(kRowTiles), std::end(kRowTiles), rows);
    if (!lease.held() || found == std::end(kRowTiles)) {
      return absl::InternalError(
          absl::StrCat("no oneDNN product was prepared for ", rows, " rows"));
    }
    const int64_t tile = found - std::begin(kRowTiles);
    const CallMemory::Tile& memory = calls_[lease.index()].tiles[tile];
    dnnl_memory_set_data_handle(memory.x.get(), const_cast<uint8_t*>(x));
    dnnl_memory_set_data_handle(memory.weights.get(), const_cast<uint8_t*>(panels));
    dnnl_memory_set_data_handle(memory.sums.get(), sums);
    dnnl_memory_set_data_handle(memory.scratch.get(), scratch);
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, memory.x.get()},
                                         {DNNL_ARG_WEIGHTS, memory.weights.get()},
                                         {DNNL_ARG_DST, memory.sums.get()},
                                         {DNNL_ARG_SCRATCHPAD, memory.scratch.get()}};
    const dnnl_status_t status =
        dnnl_primitive_execute(primitives_[tile].get(), Library().stream.get(), 4, arguments);
    if (status == dnnl_success) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("oneDNN product failed with status ", status));
  }

 protected:
  void GiveBack(int32_t index) const override {
    calls_[index].taken.store(false, std::memory_order_release);
  }

 private:
  const int64_t inputs_;
  std::string implementation_;
  int64_t scratch_bytes_ = 0;
  std::array<dnnl::matmul, kTiles> primitives_;
  mutable std::vector<CallMemory> calls_;
};

}  // namespace

bool OneDnnInt8::IsFastest() {
  // The bits of each instruction set include those of the ones below it.
  return (static_cast<unsigned>(dnnl_get_effective_cpu_isa()) &
          static_cast<unsigned>(dnnl_cpu_isa_avx512_core_amx)) ==
         static_cast<unsigned>(dnnl_cpu_isa_avx512_core_amx);
}

int64_t OneDnnInt8::RowTile(int64_t rows) {
  for (const int64_t tile : kRowTiles) {
    if (tile <= rows) return tile;
  }
  return 0;
}

absl::StatusOr<std::unique_ptr<OneDnnInt8>> OneDnnInt8::Create(int64_t inputs) {
  // A product runs on its caller's thread alone: the team shares out the work itself.
  const int32_t threads = omp_get_max_threads();
  omp_set_num_threads(1);
  absl::Status status;
  auto matmul = std::make_unique<OneDnnInt8Impl>(inputs);
  try {
    matmul->Build(std::max(threads, omp_get_num_procs()));
  } catch (const dnnl::error& error) {
    status = absl::UnimplementedError(
        absl::StrCat("oneDNN int8 product of ", inputs, " inputs: ", error.what()));
  }
  omp_set_num_threads(threads);
  if (!status.ok()) return status;
  return matmul;
}

}  // namespace hocket
