// A session's log and one reader of it, for tests of what is read.
#ifndef HOCKET_TESTS_SERVICE_READ_LOG_H_
#define HOCKET_TESTS_SERVICE_READ_LOG_H_

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "service/answer.h"
#include "service/event_log.h"

namespace hocket {

class ReadLog {
 public:
  explicit ReadLog(const RequestShape& shape = {}) { log.Expect(shape); }

  void Add(const StartedEvent& event) { log.Add(event); }
  void Add(const FinishedEvent& event) { log.Add(event); }
  void Add(Outcome outcome) {
    const absl::Status status = log.Add(std::move(outcome));
    EXPECT_TRUE(status.ok()) << status;
  }

  EventBatch Take(const ReadLimits& limits = kMessageLimits) { return log.Read(cursor, limits); }
  bool empty() const {
    LogCursor copy = cursor;
    return log.Read(copy).empty();
  }

  EventLog log;
  LogCursor cursor;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_SERVICE_READ_LOG_H_
