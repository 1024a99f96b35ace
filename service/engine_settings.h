// Derives the scheduler's limits from how a model was loaded: the one place where the runtime's
// numbers become the scheduler's. Pure; any thread.
#ifndef HOCKET_SERVICE_ENGINE_SETTINGS_H_
#define HOCKET_SERVICE_ENGINE_SETTINGS_H_

#include "runtime/model_runtime.h"
#include "scheduler/scheduler.h"

namespace hocket {

// `settings` are those that `info`'s model was loaded with. The limits of
// admission keep their defaults; the caller may change them.
SchedulerSettings SchedulerSettingsFor(const RuntimeSettings& settings, const ModelInfo& info);

}  // namespace hocket

#endif  // HOCKET_SERVICE_ENGINE_SETTINGS_H_
