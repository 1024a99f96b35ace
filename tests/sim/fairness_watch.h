// Holds tenants' service against the bound that scheduler/waiting_line.h derives, counted from the
// outside: from what requests were given, not from the scheduler's own counters.
#ifndef HOCKET_TESTS_SIM_FAIRNESS_WATCH_H_
#define HOCKET_TESTS_SIM_FAIRNESS_WATCH_H_

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "scheduler/request.h"

namespace hocket {

class FairnessWatch {
 public:
  using Key = std::pair<PriorityClass, std::string>;

  // `tokens` virtual tokens, divided by the tenant's weight, were given.
  void Serve(const Key& tenant, double tokens) { service_[tenant] += tokens; }
  void Wait(const Key& tenant, int32_t change) {
    waiting_[tenant] += change;
    if (waiting_[tenant] == 0) interrupted_.insert(tenant);
  }

  // After each plan: pairs that both wait go on; the others begin anew. Returns the largest gap in
  // service that any pair has had since both began to wait.
  double LargestGap();

 private:
  struct Span {
    double low = 0;
    double high = 0;
  };

  std::map<Key, double> service_;
  std::map<Key, int32_t> waiting_;  // Requests that never ran.
  std::set<Key> interrupted_;       // Since the last plan, waited for nothing for a moment.
  std::map<std::pair<Key, Key>, Span> spans_;
};

inline double FairnessWatch::LargestGap() {
  double largest = 0;
  std::map<std::pair<Key, Key>, Span> spans;
  for (auto a = waiting_.begin(); a != waiting_.end(); ++a) {
    if (a->second == 0) continue;
    for (auto b = std::next(a); b != waiting_.end() && b->first.first == a->first.first; ++b) {
      if (b->second == 0) continue;
      const auto pair = std::pair(a->first, b->first);
      const double difference = service_[a->first] - service_[b->first];
      const auto known = spans_.find(pair);
      const bool anew = known == spans_.end() || interrupted_.contains(a->first) ||
                        interrupted_.contains(b->first);
      Span span = anew ? Span{difference, difference} : known->second;
      span.low = std::min(span.low, difference);
      span.high = std::max(span.high, difference);
      largest = std::max(largest, span.high - span.low);
      spans.emplace(pair, span);
    }
  }
  spans_ = std::move(spans);
  interrupted_.clear();
  return largest;
}

}  // namespace hocket

#endif  // HOCKET_TESTS_SIM_FAIRNESS_WATCH_H_
