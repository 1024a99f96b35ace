// What the calls of one model use. A plain value; all that it points to outlives all calls.
#ifndef HOCKET_SERVICE_CALL_PARTS_H_
#define HOCKET_SERVICE_CALL_PARTS_H_

#include "scheduler/engine.h"
#include "service/authorizer.h"
#include "service/delivery_thread.h"
#include "service/load_report.h"
#include "service/metrics.h"
#include "service/model_text.h"
#include "service/server_metrics.h"
#include "service/text_pool.h"
#include "service/validate.h"

namespace hocket {

class SessionRegistry;

struct CallParts {
  Engine* engine = nullptr;
  const Validator* validator = nullptr;
  const ModelText* text = nullptr;
  Metrics* metrics = nullptr;
  const LoadReport* load = nullptr;  // Null: calls' ends do not tell it.

  // The same for all models:
  ServerMetrics* server_metrics = nullptr;
  const Authorizer* authorizer = nullptr;
  TextPool* text_pool = nullptr;
  DeliveryThread* delivery = nullptr;
  SessionRegistry* sessions = nullptr;
  bool log_prompts = false;  // Prompts and answers in the log's line of each call.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CALL_PARTS_H_
