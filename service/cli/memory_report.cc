#include "service/cli/memory_report.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "service/cli/byte_size.h"

namespace hocket {

std::vector<std::string> MemoryReport(const ModelInfo& info) {
  std::vector<std::string> lines;
  const auto add = [&lines](const char* part, int64_t bytes, const std::string& note) {
    std::string line = absl::StrFormat("%-13s %8s", part, FormatByteSize(bytes));
    if (!note.empty()) absl::StrAppend(&line, "  ", note);
    lines.push_back(std::move(line));
  };
  add("weights", info.weight_bytes,
      absl::StrCat(std::string(PrecisionName(info.precision)),
                   info.weights_mapped ? ", mapped from the weight cache" : ""));
  add("KV cache", info.kv_cache_bytes,
      absl::StrCat(std::string(KvPrecisionName(info.kv_precision)), ", ", info.kv_blocks,
                   " blocks, page by page as needed"));
  add("step arena", info.arena_bytes, "");
  add("the rest", info.process_bytes, "program and tokenizer");
  add("expected peak", info.ExpectedPeakBytes(),
      absl::StrCat("and ", FormatByteSize(info.embedding_bytes),
                   " of embedding in the checkpoint's file, which the system caches"));
  add("available", info.available_memory_bytes + info.process_bytes, "before loading");
  return lines;
}

}  // namespace hocket
