// What a loaded model takes of the memory there is, as a table for the log. Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_MEMORY_REPORT_H_
#define HOCKET_SERVICE_CLI_MEMORY_REPORT_H_

#include <string>
#include <vector>

#include "runtime/model_runtime.h"

namespace hocket {

// A line for each part, then the expected peak and what is available, in even columns.
std::vector<std::string> MemoryReport(const ModelInfo& info);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_MEMORY_REPORT_H_
