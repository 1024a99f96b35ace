#include "runtime/model/output_rows.h"

#include <algorithm>

#include "runtime/model/mapped_file.h"

namespace hocket {

absl::StatusOr<OutputRows> OutputRows::Find(const Checkpoint& checkpoint,
                                            const std::vector<NamedRows>& parts, int64_t inputs) {
  OutputRows rows;
  rows.inputs_ = inputs;
  int64_t outputs = 0;
  for (const NamedRows& part : parts) {
    auto view = checkpoint.Find(part.name, {part.outputs, inputs});
    if (!view.ok()) return view.status();
    rows.names_.push_back(part.name);
    rows.parts_.push_back(*std::move(view));
    outputs += part.outputs;
    rows.ends_.push_back(outputs);
  }
  return rows;
}

size_t OutputRows::PartOf(int64_t output) const {
  return std::upper_bound(ends_.begin(), ends_.end(), output) - ends_.begin();
}

void OutputRows::Read(int64_t output, float* row) const {
  const size_t part = PartOf(output);
  ConvertElements(parts_[part], (output - FirstOf(part)) * inputs_, inputs_, row);
}

void OutputRows::Read(int64_t output, Bf16* row) const {
  const size_t part = PartOf(output);
  ConvertElements(parts_[part], (output - FirstOf(part)) * inputs_, inputs_, row);
}

void OutputRows::Release(int64_t begin, int64_t end) const {
  for (size_t part = 0; part < parts_.size(); ++part) {
    const int64_t rows = ends_[part] - FirstOf(part);
    const int64_t first = std::clamp<int64_t>(begin - FirstOf(part), 0, rows);
    const int64_t last = std::clamp<int64_t>(end - FirstOf(part), 0, rows);
    if (first >= last) continue;
    const int64_t row_bytes = static_cast<int64_t>(parts_[part].bytes.size()) / rows;
    ReleasePages(parts_[part].bytes.subspan(first * row_bytes, (last - first) * row_bytes));
  }
}

}  // namespace hocket
