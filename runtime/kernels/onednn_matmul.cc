#include "runtime/kernels/onednn_matmul.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <map>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "dnnl.h"
#include "dnnl.hpp"
#include "runtime/kernels/bf16.h"

namespace hocket {

namespace {

// The row count whose layout of the weights serves all.
constexpr int32_t kMiddlingRows = 64;

// Of every product. With weights read from memory 4 rows took 10 % less time than 1 and 23 % less
// than 2 (oneDNN 3.2, bf16, Zen 4).
constexpr int32_t kFewestRows = 4;

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

absl::Status FromDnnl(const dnnl::error& error, const MatmulShape& shape) {
  return absl::InternalError(absl::StrCat("oneDNN product of ", shape.inputs, " inputs and ",
                                          shape.outputs, " outputs: ", error.what()));
}

// What one call of a primitive works with: objects whose pointers it sets.
struct CallObjects {
  dnnl::stream stream;
  dnnl::memory x, weights, y, scratch;
};

struct RowCountPrimitive {
  dnnl::matmul primitive;
  std::vector<CallObjects> calls;  // One for each place.
};

// Places for calls that run at the same time.
class CallPlaces {
 public:
  static constexpr int32_t kMost = 64;
  explicit CallPlaces(int32_t count) : count_(std::clamp(count, 1, kMost)) {}
  int32_t count() const { return count_; }

  // Waits while all are taken, which more callers than were announced would meet.
  int32_t Take() {
    uint64_t taken = taken_.load(std::memory_order_relaxed);
    for (;;) {
      const int32_t place = std::countr_one(taken);
      if (place >= count_) {
        std::this_thread::yield();
        taken = taken_.load(std::memory_order_relaxed);
      } else if (taken_.compare_exchange_weak(taken, taken | uint64_t{1} << place,
                                              std::memory_order_acquire,
                                              std::memory_order_relaxed)) {
        return place;
      }
    }
  }
  void GiveBack(int32_t place) {
    taken_.fetch_and(~(uint64_t{1} << place), std::memory_order_release);
  }

 private:
  const int32_t count_;
  std::atomic<uint64_t> taken_{0};
};

class OneDnnMatmulImpl : public OneDnnMatmul {
 public:
  OneDnnMatmulImpl(const MatmulShape& shape, int32_t callers, KernelChoice choice)
      : shape_(shape), choice_(choice), places_(callers) {}

  // The library fixes a primitive's threads when it makes it: one, whoever calls it later.
  absl::Status Build() {
    const int32_t previous_threads = omp_get_max_threads();
    omp_set_num_threads(1);
    absl::Status status;
    try {
      status = BuildPrimitives();
    } catch (const dnnl::error& error) {
      status = absl::UnimplementedError(FromDnnl(error, shape_).message());
    }
    omp_set_num_threads(previous_threads);
    return status;
  }

  int64_t packed_bytes() const override { return packed_.get_size(); }
  int64_t scratch_bytes() const override { return scratch_bytes_; }
  std::string implementation() const override { return implementation_; }

  absl::Status Pack(const void* weights, void* packed) const override {
    try {
      dnnl::memory from(Plain(), Engine(), const_cast<void*>(weights));
      dnnl::memory to(packed_, Engine(), packed);
      dnnl::stream stream(Engine());
      reorder_.execute(stream, from, to);
      stream.wait();
      return absl::OkStatus();
    } catch (const dnnl::error& error) {
      return FromDnnl(error, shape_);
    }
  }

  absl::Status Multiply(const void* x, int32_t rows, const void* packed, void* scratch,
                        float* y) const override {
    const auto found = primitives_.find(rows);
    if (found == primitives_.end()) {
      return absl::InternalError(absl::StrCat("no product was prepared for ", rows, " rows"));
    }
    const int32_t place = places_.Take();
    const CallObjects& call = found->second.calls[place];
    dnnl_memory_set_data_handle(call.x.get(), const_cast<void*>(x));
    dnnl_memory_set_data_handle(call.weights.get(), const_cast<void*>(packed));
    dnnl_memory_set_data_handle(call.y.get(), y);
    dnnl_memory_set_data_handle(call.scratch.get(), scratch);
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, call.x.get()},
                                         {DNNL_ARG_WEIGHTS, call.weights.get()},
                                         {DNNL_ARG_DST, call.y.get()},
                                         {DNNL_ARG_SCRATCHPAD, call.scratch.get()}};
    const dnnl_status_t status =
        dnnl_primitive_execute(found->second.primitive.get(), call.stream.get(), 4, arguments);
    places_.GiveBack(place);
    if (status == dnnl_success) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("oneDNN product failed with status ", status));
  }

 private:
  dnnl::memory::data_type type() const {
    return shape_.type == MatmulType::kBf16 ? dnnl::memory::data_type::bf16
                                            : dnnl::memory::data_type::f32;
  }

  // Checkpoints hold [outputs][inputs]: a product's [inputs, outputs], transposed.
  dnnl::memory::desc Plain() const {
    return {{shape_.inputs, shape_.outputs}, type(), dnnl::memory::format_tag::ba};
  }

  dnnl::matmul::primitive_desc Describe(int32_t rows, const dnnl::memory::desc& weights) const {
    using Tag = dnnl::memory::format_tag;
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);
    return {Engine(), dnnl::memory::desc({rows, shape_.inputs}, type(), Tag::ab), weights,
            dnnl::memory::desc({rows, shape_.outputs}, dnnl::memory::data_type::f32, Tag::ab),
            attributes};
  }

  absl::Status BuildPrimitives() {
    // The layout that suits a middling row count; every other count then uses it.
    const dnnl::memory::desc any({shape_.inputs, shape_.outputs}, type(),
                                 dnnl::memory::format_tag::any);
    const auto middling = Describe(std::min(shape_.max_rows, kMiddlingRows), any);
    packed_ = middling.weights_desc();
    implementation_ = middling.impl_info_str();
    for (int32_t rows = kFewestRows; rows <= shape_.max_rows; rows = PaddedRows(rows + 1)) {
      const auto description = Describe(rows, packed_);
      if (choice_ == KernelChoice::kBlocked &&
          !absl::StartsWith(description.impl_info_str(), "brg")) {
        return absl::UnimplementedError(
            absl::StrCat("oneDNN offers ", description.impl_info_str(), " for ", rows, " rows"));
      }
      PrepareCalls(description, primitives_[rows]);
    }
    reorder_ = dnnl::reorder(dnnl::reorder::primitive_desc(Engine(), Plain(), Engine(), packed_));
    return absl::OkStatus();
  }

  void PrepareCalls(const dnnl::matmul::primitive_desc& description, RowCountPrimitive& prepared) {
    const dnnl::engine& engine = Engine();
    prepared.primitive = dnnl::matmul(description);
    prepared.calls.resize(places_.count());
    for (CallObjects& call : prepared.calls) {
      call.stream = dnnl::stream(engine);
      call.x = dnnl::memory(description.src_desc(), engine, nullptr);
      call.weights = dnnl::memory(description.weights_desc(), engine, nullptr);
      call.y = dnnl::memory(description.dst_desc(), engine, nullptr);
      call.scratch = dnnl::memory(description.scratchpad_desc(), engine, nullptr);
    }
    scratch_bytes_ = std::max<int64_t>(scratch_bytes_, description.scratchpad_desc().get_size());
  }

  MatmulShape shape_;
  KernelChoice choice_;
  dnnl::memory::desc packed_;
  std::string implementation_;
  int64_t scratch_bytes_ = 0;
  std::map<int32_t, RowCountPrimitive> primitives_;
  dnnl::reorder reorder_;
  mutable CallPlaces places_;
};

// Eight random rows, their products, and the rows of a run that are drawn from them.
class InvarianceCheck {
 public:
  static constexpr int kBank = 8;

  InvarianceCheck(const MatmulShape& shape, int64_t scratch_bytes)
      : shape_(shape),
        row_bytes_(shape.inputs * (shape.type == MatmulType::kBf16 ? 2 : 4)),
        bank_(kBank * row_bytes_),
        x_(shape.max_rows * row_bytes_),
        y_(shape.max_rows * shape.outputs),
        expected_(kBank * shape.outputs),
        scratch_(scratch_bytes + 1) {
    uint32_t state = 12345;
    for (int64_t i = 0; i < kBank * shape.inputs; ++i) {
      state = state * 1664525u + 1013904223u;
      const float value = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
      const Bf16 rounded = ToBf16(value);
      if (shape.type == MatmulType::kBf16) {
        std::memcpy(bank_.data() + i * 2, &rounded, 2);
      } else {
        std::memcpy(bank_.data() + i * 4, &value, 4);
      }
    }
  }

  absl::Status Reference(const OneDnnMatmul& matmul, const void* packed) {
    for (int first = 0; first < kBank; first += kFewestRows) {
      const auto status =
          matmul.Multiply(bank_.data() + first * row_bytes_, kFewestRows, packed, scratch_.data(),
                          expected_.data() + first * shape_.outputs);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Compare(const OneDnnMatmul& matmul, const void* packed, int32_t rows) {
    const auto drawn = [](int32_t row) { return (row * 5 + 3) % kBank; };
    for (int32_t r = 0; r < rows; ++r) {
      std::memcpy(x_.data() + r * row_bytes_, bank_.data() + drawn(r) * row_bytes_, row_bytes_);
    }
    const auto status = matmul.Multiply(x_.data(), rows, packed, scratch_.data(), y_.data());
    if (!status.ok()) return status;
    for (int32_t r = 0; r < rows; ++r) {
      if (std::memcmp(&y_[r * shape_.outputs], &expected_[drawn(r) * shape_.outputs],
                      shape_.outputs * sizeof(float)) != 0) {
        return absl::FailedPreconditionError(absl::StrCat(matmul.implementation(), " gives row ", r,
                                                          " of ", rows, " other bits than among ",
                                                          kFewestRows, " rows"));
      }
    }
    return absl::OkStatus();
  }

 private:
  MatmulShape shape_;
  int64_t row_bytes_;
  std::vector<char> bank_, x_;
  std::vector<float> y_, expected_;
  std::vector<char> scratch_;
};

}  // namespace

int32_t PaddedRows(int32_t rows) {
  const auto up = [rows](int32_t step) { return (rows + step - 1) / step * step; };
  if (rows <= 16) return up(4);
  if (rows <= 64) return up(8);
  if (rows <= 128) return up(16);
  if (rows <= 512) return up(32);
  return up(128);
}

absl::StatusOr<std::unique_ptr<OneDnnMatmul>> OneDnnMatmul::Create(const MatmulShape& shape,
                                                                   int32_t callers,
                                                                   KernelChoice choice) {
  auto matmul = std::make_unique<OneDnnMatmulImpl>(shape, callers, choice);
  const absl::Status status = matmul->Build();
  if (!status.ok()) return status;
  return matmul;
}

absl::Status CheckRowInvariance(const MatmulShape& shape, const OneDnnMatmul& matmul,
                                const void* packed) {
  InvarianceCheck check(shape, matmul.scratch_bytes());
  absl::Status status = check.Reference(matmul, packed);
  for (int32_t rows = kFewestRows; status.ok() && rows <= shape.max_rows;
       rows = PaddedRows(rows + 1)) {
    status = check.Compare(matmul, packed, rows);
  }
  return status;
}

}  // namespace hocket
