#include "service/engine_settings.h"

namespace hocket {

SchedulerSettings SchedulerSettingsFor(const RuntimeSettings& settings, const ModelInfo& info) {
  SchedulerSettings scheduler;
  scheduler.total_blocks = info.kv_blocks;
  scheduler.block_tokens = settings.block_tokens;
  scheduler.max_running_sequences = settings.max_running_sequences;
  scheduler.max_step_tokens = settings.max_step_tokens;
  scheduler.max_context_tokens = info.max_context_tokens;
  return scheduler;
}

}  // namespace hocket
