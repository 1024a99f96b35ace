// A model and how the server is to host it. A plain value.
#ifndef HOCKET_SERVICE_MODEL_TO_HOST_H_
#define HOCKET_SERVICE_MODEL_TO_HOST_H_

#include <string>

#include "scheduler/scheduler.h"
#include "service/model_text.h"

namespace hocket {

struct ModelToHost {
  std::string name;  // What requests call it; empty: its folder's name.
  ServedModel model;
  SchedulerSettings scheduler;
  std::string trace_plans_file;  // Gets the scheduler's decisions; empty: none.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_MODEL_TO_HOST_H_
