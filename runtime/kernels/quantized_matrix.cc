#include "runtime/kernels/quantized_matrix.h"

#include <algorithm>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/kernels/int8_product.h"
#include "runtime/kernels/quantized_pack.h"

namespace hocket {
namespace {

using Kind = QuantizedFormat::Kind;

constexpr int64_t kPanelStepBytes = kPanelOutputs * 4;  // Of int8, for 4 inputs.
// Rows that are multiplied by one panel before the next: more weights come from the cache, but rows
// and their sums have to stay there too.
constexpr int64_t kBlockRows = 96;

constexpr int64_t RoundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

int64_t ColumnsOf(const MatrixShape& shape) {
  return shape.gated ? shape.outputs / 2 : shape.outputs;
}

// Puts an output's weights into its place in a panel.
void StoreInt8Column(const int8_t* weights, int64_t inputs, int64_t column, std::byte* panel) {
  std::byte* const to = panel + column * 4;
  for (int64_t k = 0; k < inputs; k += 4) std::memcpy(to + k * kPanelOutputs, weights + k, 4);
}

void StoreInt4Column(const int8_t* weights, int64_t inputs, int64_t column, std::byte* panel) {
  constexpr int64_t kHalf = kPanelOutputs / 2;
  const bool high = column >= kHalf;
  std::byte* const to = panel + (high ? column - kHalf : column) * 4;
  for (int64_t k = 0; k < inputs; ++k) {
    std::byte& place = to[k / 4 * (kPanelStepBytes / 2) + k % 4];
    const auto half = static_cast<std::byte>(weights[k] & 0x0f);
    place = high ? (place & std::byte{0x0f}) | half << 4 : (place & std::byte{0xf0}) | half;
  }
}

// The panel and the column in it of an output.
struct OutputPlace {
  int64_t panel;
  int64_t column;
};

OutputPlace PlaceOf(const MatrixShape& shape, int64_t output) {
  if (!shape.gated) return {output / kPanelOutputs, output % kPanelOutputs};
  const int64_t half = shape.outputs / 2;
  const int64_t column = output % half;
  return {column / kPanelOutputs * 2 + output / half, column % kPanelOutputs};
}

}  // namespace

QuantizedLayout::QuantizedLayout(const MatrixShape& shape, const QuantizedFormat& format) {
  const bool int4 = format.kind == Kind::kInt4;
  panels = RoundUp(ColumnsOf(shape), kPanelOutputs) / kPanelOutputs * (shape.gated ? 2 : 1);
  padded_inputs = RoundUp(shape.inputs, 64);
  groups = int4 ? RoundUp(padded_inputs, format.group) / format.group : 0;
  panel_bytes = padded_inputs * kPanelOutputs / (int4 ? 2 : 1);
  compensation = panels * kPanelOutputs * static_cast<int64_t>(sizeof(float));
  multipliers = compensation + panels * kPanelOutputs * static_cast<int64_t>(sizeof(int32_t));
  weights = RoundUp(multipliers + panels * groups * kPanelOutputs, 64);
  bytes = weights + panels * panel_bytes;
}

absl::Status QuantizedMatrix::Validate(const MatrixShape& shape, const QuantizedFormat& format) {
  if (shape.inputs < 1 || shape.inputs > kMostInputs) {
    return absl::InvalidArgumentError(absl::StrCat("a quantized matrix of ", shape.inputs,
                                                   " inputs: 1 to ", kMostInputs, " are possible"));
  }
  if (shape.outputs < 1 || (shape.gated && shape.outputs % 2 != 0)) {
    return absl::InvalidArgumentError(absl::StrCat("a quantized matrix of ", shape.outputs,
                                                   shape.gated ? " gated outputs" : " outputs"));
  }
  if (format.kind == Kind::kInt4 && format.group != 32 && format.group != 128) {
    return absl::InvalidArgumentError(
        absl::StrCat("an int4 matrix in groups of ", format.group, ": 32 and 128 are possible"));
  }
  return absl::OkStatus();
}

int64_t QuantizedMatrix::PackedBytes(const MatrixShape& shape, const QuantizedFormat& format) {
  return QuantizedLayout(shape, format).bytes;
}

int64_t QuantizedMatrix::Units(const MatrixShape& shape) {
  return RoundUp(ColumnsOf(shape), kUnitColumns) / kUnitColumns;
}

int64_t QuantizedMatrix::PackScratchBytes(const MatrixShape& shape) {
  const int64_t padded_inputs = RoundUp(shape.inputs, 64);
  return padded_inputs * static_cast<int64_t>(sizeof(float) + 2);
}

void QuantizedMatrix::PackUnit(const MatrixShape& shape, const QuantizedFormat& format,
                               int64_t unit,
                               absl::FunctionRef<void(int64_t output, float* row)> read_row,
                               std::byte* packed, std::byte* scratch) {
  const QuantizedLayout layout(shape, format);
  const int64_t padded = layout.padded_inputs;
  auto* const row = reinterpret_cast<float*>(scratch);                       // [padded]
  auto* const quantized = reinterpret_cast<int8_t*>(row + padded);           // [padded]
  auto* const multipliers = reinterpret_cast<uint8_t*>(quantized + padded);  // [groups]
  auto* const scales = reinterpret_cast<float*>(packed + layout.scales);
  auto* const compensation = reinterpret_cast<int32_t*>(packed + layout.compensation);
  std::fill(row + shape.inputs, row + padded, 0.0f);

  const int64_t parts = shape.gated ? 2 : 1;
  const int64_t columns = ColumnsOf(shape);
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t panel = unit * parts + part;
    std::byte* const to = packed + layout.weights + panel * layout.panel_bytes;
    auto* const panel_multipliers = reinterpret_cast<uint8_t*>(
        packed + layout.multipliers + panel * layout.groups * kPanelOutputs);
    for (int64_t column = 0; column < kPanelOutputs; ++column) {
      const int64_t output = unit * kUnitColumns + column;
      if (output < columns) {
        read_row(part * columns + output, row);
      } else {
        std::fill(row, row + shape.inputs, 0.0f);
      }
      const int64_t place = panel * kPanelOutputs + column;
      int64_t sum = 0;
      if (format.kind == Kind::kInt8) {
        scales[place] = QuantizeInt8(row, padded, quantized);
        StoreInt8Column(quantized, padded, column, to);
        for (int64_t k = 0; k < padded; ++k) sum += quantized[k];
      } else {
        scales[place] = QuantizeInt4(row, padded, format.group, quantized, multipliers);
        StoreInt4Column(quantized, padded, column, to);
        for (int64_t k = 0; k < padded; ++k) sum += quantized[k] * multipliers[k / format.group];
        for (int64_t g = 0; g < layout.groups; ++g) {
          panel_multipliers[g * kPanelOutputs + column] = multipliers[g];
        }
      }
      compensation[place] = static_cast<int32_t>(128 * sum);
    }
  }
}

absl::StatusOr<std::unique_ptr<QuantizedMatrix>> QuantizedMatrix::Open(
    const MatrixShape& shape, const QuantizedFormat& format, const std::byte* packed,
    const Int8DotKernel& dot, WideProducts wide) {
  const absl::Status status = Validate(shape, format);
  if (!status.ok()) return status;
  std::unique_ptr<QuantizedMatrix> matrix(new QuantizedMatrix(shape, format, packed, dot));
  const bool can_be_wide = format.kind == Kind::kInt8 || dot.int4.unpacks_to_int8_panel;
  const bool try_wide =
      wide == WideProducts::kOneDnn || (wide == WideProducts::kAuto && OneDnnInt8::IsFastest());
  if (try_wide && can_be_wide && matrix->units() >= matrix->WideUnits()) {
    auto onednn = OneDnnInt8::Create(matrix->layout_.padded_inputs);
    if (onednn.ok()) matrix->wide_ = *std::move(onednn);
    if (!onednn.ok() && wide == WideProducts::kOneDnn) return onednn.status();
  }
  return matrix;
}

std::string QuantizedMatrix::kernel() const {
  return wide_ == nullptr ? dot_.name : absl::StrCat(dot_.name, "+", wide_->implementation());
}

float QuantizedMatrix::OutputScale(int64_t output) const {
  const OutputPlace place = PlaceOf(shape(), output);
  return reinterpret_cast<const float*>(packed_ +
                                        layout_.scales)[place.panel * kPanelOutputs + place.column];
}

void QuantizedMatrix::OutputWeights(int64_t output, int8_t* weights) const {
  const OutputPlace place = PlaceOf(shape(), output);
  const auto* const panel = reinterpret_cast<const uint8_t*>(packed_ + layout_.weights +
                                                             place.panel * layout_.panel_bytes);
  const auto* const multipliers = reinterpret_cast<const uint8_t*>(
      packed_ + layout_.multipliers + place.panel * layout_.groups * kPanelOutputs);
  for (int64_t k = 0; k < shape().inputs; ++k) {
    if (format_.kind == Kind::kInt8) {
      const int64_t at = k / 4 * kPanelStepBytes + place.column * 4 + k % 4;
      weights[k] = static_cast<int8_t>(panel[at]);
      continue;
    }
    const bool high = place.column >= kPanelOutputs / 2;
    const int64_t at =
        k / 4 * (kPanelStepBytes / 2) + place.column % (kPanelOutputs / 2) * 4 + k % 4;
    const int half = static_cast<int8_t>(high ? panel[at] & 0xf0 : panel[at] << 4) / 16;
    weights[k] =
        static_cast<int8_t>(half * multipliers[k / format_.group * kPanelOutputs + place.column]);
  }
}

// Offsets of the parts of a call's scratch, each a multiple of 64.
struct QuantizedMatrix::Scratch {
  int64_t prepared = 0;  // uint8 [kBlockRows][padded inputs * prepared_bytes]
  int64_t sums = 0;  // int32 [kBlockRows][32 * panels of a unit], or [rows of a tile][kOutputs].
  int64_t unpacked =
      0;             // uint8 [32 * padded inputs * unpacked_bytes], or [kOutputs * padded inputs].
  int64_t wide = 0;  // What oneDNN asks for.
  int64_t end = 0;
};

QuantizedMatrix::Scratch QuantizedMatrix::ScratchParts() const {
  const PanelKernel& kernel = kernels();
  int64_t sums = kBlockRows * kPanelOutputs * PanelsOfUnit();
  int64_t unpacked = layout_.padded_inputs * kPanelOutputs * kernel.unpacked_bytes;
  if (wide_ != nullptr) {
    sums = std::max(sums, OneDnnInt8::kRowTiles[0] * OneDnnInt8::kOutputs);
    if (format_.kind == Kind::kInt4) unpacked = layout_.padded_inputs * OneDnnInt8::kOutputs;
  }
  Scratch parts;
  parts.sums = kBlockRows * layout_.padded_inputs * kernel.prepared_bytes;
  parts.unpacked = parts.sums + sums * static_cast<int64_t>(sizeof(int32_t));
  parts.wide = parts.unpacked + unpacked;
  parts.end = parts.wide + (wide_ == nullptr ? 0 : wide_->scratch_bytes());
  return parts;
}

int64_t QuantizedMatrix::scratch_bytes() const { return ScratchParts().end; }

absl::Status QuantizedMatrix::Multiply(const InputRows& x, IndexRange rows, IndexRange units,
                                       const ProductOutput& output, std::byte* scratch) const {
  if (x.format != RowFormat::kInt8 || (output.add && shape().gated)) {
    return absl::InvalidArgumentError("a quantized product of rows or results it does not have");
  }
  const auto lease = wide_ != nullptr && x.stride_bytes == layout_.padded_inputs
                         ? wide_->Take()
                         : OneDnnInt8::Lease();
  for (int64_t begin = rows.begin; begin < rows.end; begin += kBlockRows) {
    const IndexRange block{begin, std::min(rows.end, begin + kBlockRows)};
    int64_t wide_end = block.begin;
    int64_t wide_units = 0;
    if (lease.held()) {
      wide_end += block.size() / OneDnnInt8::kFewestRows * OneDnnInt8::kFewestRows;
      wide_units = units.size() / WideUnits() * WideUnits();
    }
    const IndexRange wide{units.begin, units.begin + wide_units};
    const absl::Status status =
        MultiplyWide(lease, x, {block.begin, wide_end}, wide, output, scratch);
    if (!status.ok()) return status;
    MultiplyBlock(x, {wide_end, block.end}, wide, output, scratch);
    MultiplyBlock(x, block, {wide.end, units.end}, output, scratch);
  }
  return absl::OkStatus();
}

// A panel as it is packed.
DotPanel QuantizedMatrix::PanelAt(int64_t panel) const {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(packed_);
  return {bytes + layout_.weights + panel * layout_.panel_bytes,
          bytes + layout_.multipliers + panel * layout_.groups * kPanelOutputs, format_.group,
          layout_.padded_inputs};
}

void QuantizedMatrix::MultiplyPanel(int64_t panel, const DotRows& rows, uint8_t* unpacked,
                                    const DotSums& sums) const {
  DotPanel dot_panel = PanelAt(panel);
  const PanelKernel& kernel = kernels();
  if (kernel.unpack_rows == 0 || rows.count < kernel.unpack_rows) {
    kernel.dot(rows, dot_panel, sums);
  } else {
    kernel.unpack(dot_panel, unpacked);
    dot_panel.weights = unpacked;
    kernel.dot_unpacked(rows, dot_panel, sums);
  }
}

void QuantizedMatrix::MultiplyBlock(const InputRows& x, IndexRange rows, IndexRange units,
                                    const ProductOutput& output, std::byte* scratch) const {
  if (rows.size() <= 0 || units.size() <= 0) return;
  const Scratch offsets = ScratchParts();
  auto* const prepared = reinterpret_cast<uint8_t*>(scratch + offsets.prepared);
  auto* const sums = reinterpret_cast<int32_t*>(scratch + offsets.sums);
  auto* const unpacked = reinterpret_cast<uint8_t*>(scratch + offsets.unpacked);
  DotRows dot_rows{reinterpret_cast<const uint8_t*>(x.data) + rows.begin * x.stride_bytes,
                   x.stride_bytes, rows.size()};
  const PanelKernel& kernel = kernels();
  if (kernel.prepared_bytes != 0) {
    kernel.prepare_rows(dot_rows, layout_.padded_inputs, prepared);
    dot_rows = {prepared, layout_.padded_inputs * kernel.prepared_bytes, rows.size()};
  }
  const int64_t parts = PanelsOfUnit();
  const int64_t stride = parts * kPanelOutputs;
  for (int64_t unit = units.begin; unit < units.end; ++unit) {
    for (int64_t part = 0; part < parts; ++part) {
      MultiplyPanel(unit * parts + part, dot_rows, unpacked, {sums + part * kPanelOutputs, stride});
    }
    FinishUnit(x, rows, unit, {sums, stride}, output);
  }
}

// The int8 panels of WideUnits units from `unit` on.
const uint8_t* QuantizedMatrix::WidePanels(int64_t unit, uint8_t* unpacked) const {
  const int64_t first = unit * PanelsOfUnit();
  if (format_.kind == Kind::kInt8) return PanelAt(first).weights;
  const int64_t panel_bytes = layout_.padded_inputs * kPanelOutputs;
  for (int64_t panel = 0; panel < OneDnnInt8::kOutputs / kPanelOutputs; ++panel) {
    kernels().unpack(PanelAt(first + panel), unpacked + panel * panel_bytes);
  }
  return unpacked;
}

// Rows that fill tiles, by units that fill runs of WideUnits.
absl::Status QuantizedMatrix::MultiplyWide(const OneDnnInt8::Lease& lease, const InputRows& x,
                                           IndexRange rows, IndexRange units,
                                           const ProductOutput& output, std::byte* scratch) const {
  if (rows.size() <= 0) return absl::OkStatus();
  const Scratch offsets = ScratchParts();
  auto* const sums = reinterpret_cast<int32_t*>(scratch + offsets.sums);
  const int64_t unit_columns = PanelsOfUnit() * kPanelOutputs;
  for (int64_t first = units.begin; first < units.end; first += WideUnits()) {
    const uint8_t* const panels =
        WidePanels(first, reinterpret_cast<uint8_t*>(scratch + offsets.unpacked));
    for (int64_t row = rows.begin; row < rows.end;) {
      const int64_t tile = OneDnnInt8::RowTile(rows.end - row);
      const auto* const tile_rows = reinterpret_cast<const uint8_t*>(x.data) + row * x.stride_bytes;
      const absl::Status status =
          wide_->Multiply(lease, tile_rows, tile, panels, sums, scratch + offsets.wide);
      if (!status.ok()) return status;
      for (int64_t unit = 0; unit < WideUnits(); ++unit) {
        FinishUnit(x, {row, row + tile}, first + unit,
                   {sums + unit * unit_columns, OneDnnInt8::kOutputs}, output);
      }
      row += tile;
    }
  }
  return absl::OkStatus();
}

// From sums [rows][panels of the unit][32] to y.
void QuantizedMatrix::FinishUnit(const InputRows& x, IndexRange rows, int64_t unit,
                                 const DotSums& sums, const ProductOutput& output) const {
  const int64_t parts = PanelsOfUnit();
  const int64_t first = unit * kUnitColumns;
  const int64_t count = std::min(kUnitColumns, columns() - first);
  PanelScales scales[2];
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t column = (unit * parts + part) * kPanelOutputs;
    scales[part].scales = reinterpret_cast<const float*>(packed_ + layout_.scales) + column;
    scales[part].compensation =
        reinterpret_cast<const int32_t*>(packed_ + layout_.compensation) + column;
    if (output.bias != nullptr) scales[part].bias = output.bias + part * columns() + first;
  }
  for (int64_t r = 0; r < rows.size(); ++r) {
    const int32_t* const row_sums = sums.data + r * sums.stride;
    const float row_scale = x.scales[rows.begin + r];
    float* const y = output.y + (rows.begin + r) * output.stride + first;
    if (parts == 2) {
      FinishGatedRow(row_sums, row_sums + kPanelOutputs, row_scale, scales[0], scales[1], count, y);
    } else if (output.add) {
      FinishRowAdding(row_sums, row_scale, scales[0], count, y);
    } else {
      FinishRow(row_sums, row_scale, scales[0], count, y);
    }
  }
}

}  // namespace hocket
